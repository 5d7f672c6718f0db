// SPDX-License-Identifier: Apache-2.0

/** What the local API answers from the journal: events, the restart ledger, `why`. */
import { HoldfastError } from "@holdfast/core/errors";
import type { EventQuery, Journal, JournalEvent, Story } from "@holdfast/journal";
import type { ApiAnswer, ApiRequest } from "./server.ts";
import type { WhyAnswer } from "./types.ts";

/** What the routes need of the journal. */
export type JournalView = Pick<
  Journal,
  | "events"
  | "follow"
  | "kubeEvents"
  | "podsNamed"
  | "readLog"
  | "terminations"
  | "whyImage"
  | "whyNode"
  | "whyPod"
>;

/** Ends whose last lines are sent along. */
const LOGS_IN_STORY = 3;
const MAX_LIMIT = 10_000;

/** Answers `/api/v1/journal/REST`. A static pod carries its node's name behind its own: both are understood. */
export async function journalAnswer(
  journal: JournalView,
  request: ApiRequest,
  rest: readonly string[],
  nodeName: () => string,
): Promise<ApiAnswer> {
  const { query } = request;
  const [what, ...more] = rest;
  if (what === "why") return { json: await why(journal, more, query, nodeName) };
  if (more.length === 0) {
    if (what === "events") return events(journal, request);
    if (what === "kube-events") return { json: { items: journal.kubeEvents(eventQuery(query)) } };
    if (what === "terminations") return { json: { items: journal.terminations(terminationQuery(query)) } };
    if (what === "pods") return { json: { items: podsNamed(journal, query.get("name") ?? "", nodeName) } };
  }
  throw new HoldfastError("AGENT_ROUTE", "not-found", `the journal has no "${rest.join("/")}"`);
}

function podsNamed(journal: JournalView, name: string, nodeName: () => string): readonly string[] {
  const exact = journal.podsNamed(name);
  return exact.length > 0 ? exact : journal.podsNamed(`${name}-${nodeName()}`);
}

function events(journal: JournalView, { query, signal }: ApiRequest): ApiAnswer {
  const wanted = eventQuery(query);
  if (query.get("follow") !== "true") return { json: { items: journal.events(wanted).toReversed() } };
  return { stream: lines(journal.follow(wanted, signal)), contentType: "application/x-ndjson" };
}

async function* lines(found: AsyncIterable<JournalEvent>): AsyncGenerator<string> {
  // An empty line first: the reader learns at once that it is listened to.
  yield "\n";
  for await (const event of found) yield `${JSON.stringify(event)}\n`;
}

async function why(
  journal: JournalView,
  [kind, namespace, name]: readonly string[],
  query: URLSearchParams,
  nodeName: () => string,
): Promise<WhyAnswer> {
  if (kind === "node") return { story: journal.whyNode() };
  if (kind === "image") return { story: journal.whyImage(query.get("ref") ?? "") };
  if (kind !== "pods" || namespace === undefined || name === undefined)
    throw new HoldfastError("AGENT_ROUTE", "not-found", "why pods/NS/NAME, node or image?ref=REF");
  const pod = `${namespace}/${name}`;
  const container = query.get("container") ?? undefined;
  const story = journal.whyPod(pod, container) ?? journal.whyPod(`${pod}-${nodeName()}`, container);
  if (story === undefined)
    throw new HoldfastError(
      "AGENT_NO_HISTORY",
      "not-found",
      `nothing is known of ${container === undefined ? "" : `a container "${container}" of `}a pod "${pod}"`,
    );
  return { story, logs: await lastLines(journal, story) };
}

async function lastLines(journal: JournalView, story: Story): Promise<NonNullable<WhyAnswer["logs"]>> {
  const wanted = story.chapters
    .filter(({ termination }) => termination?.log !== undefined)
    .slice(0, LOGS_IN_STORY);
  const found = await Promise.all(
    wanted.map(async ({ seq, termination }) => {
      const log = termination?.log === undefined ? undefined : await journal.readLog(termination.log);
      return log === undefined ? [] : [{ seq, lines: log }];
    }),
  );
  return found.flat();
}

function eventQuery(query: URLSearchParams): EventQuery {
  const text = (key: string): string | undefined => query.get(key) ?? undefined;
  const types = query.getAll("type").flatMap((list) => list.split(",").filter((type) => type !== ""));
  const [pod, podUid, container] = [text("pod"), text("podUid"), text("container")];
  const [since, before, after, limit] = ["since", "before", "after", "limit"].map((key) =>
    numberOf(query, key),
  );
  return {
    ...(pod !== undefined && { pod }),
    ...(podUid !== undefined && { podUid }),
    ...(container !== undefined && { container }),
    ...(types.length > 0 && { types }),
    ...(since !== undefined && { since }),
    ...(before !== undefined && { before }),
    ...(after !== undefined && { after }),
    ...(limit !== undefined && { limit: Math.min(limit, MAX_LIMIT) }),
  };
}

function terminationQuery(query: URLSearchParams): Parameters<JournalView["terminations"]>[0] {
  const [pod, container, limit] = [query.get("pod"), query.get("container"), numberOf(query, "limit")];
  return {
    ...(pod !== null && { pod }),
    ...(container !== null && { container }),
    ...(limit !== undefined && { limit }),
  };
}

function numberOf(query: URLSearchParams, key: string): number | undefined {
  const text = query.get(key);
  if (text === null) return undefined;
  const value = Number(text);
  if (text !== "" && Number.isSafeInteger(value) && value >= 0) return value;
  throw new HoldfastError("AGENT_REQUEST", "bad-input", `${key} must be a whole number of at least 0`, {
    fieldPath: key,
  });
}
