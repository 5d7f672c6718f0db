// SPDX-License-Identifier: Apache-2.0

/** What GC answers: a plan to whoever asks, a pass to whoever orders one; of images line by line while it is under way. */
import { errorText, HoldfastError } from "@holdfast/core/errors";
import type {
  ContainerGcManager,
  ContainerGcPlan,
  ContainerLogManager,
  FolderRetention,
  ImageGcGoal,
  ImageGcManager,
  ImageGcPassOptions,
  ImageGcPlan,
  ImageGcResult,
  ImageGcStep,
} from "@holdfast/gc";
import type { ApiAnswer, ApiRequest } from "./server.ts";

/** What these routes need of the agent. */
export interface GcView {
  /** Undefined: imageGCScope is none. */
  readonly imageGc: Pick<ImageGcManager, "plan" | "collect" | "deleteUnusedImages"> | undefined;
  readonly containerGc: Pick<ContainerGcManager, "plan" | "collect">;
  readonly logs: Pick<ContainerLogManager, "planRetention" | "prune">;
}

/** The last line of a pass. */
export interface ImageGcDone {
  readonly kind: "done";
  /** How many images. */
  readonly removed: number;
  readonly freedBytes: number;
  /** Why the goal was not reached; absent when it was. */
  readonly error?: string;
  /** When too little could be freed: who holds the space. */
  readonly heldBy?: string;
}

/** One line of a pass: first the plan, then what becomes of each image, then what came of it all. */
export type ImageGcLine = ImageGcStep | ImageGcDone;

/** What a plan of images is answered as. */
export type ImageGcPlanAnswer = ImageGcPlan;
/** What a plan of containers is answered as. */
export type ContainerGcPlanAnswer = ContainerGcPlan;
/** What a plan of logs is answered as. */
export type LogRetentionAnswer = readonly FolderRetention[];

/** What came of a pass over containers. */
export interface ContainerGcAnswer {
  readonly plan: ContainerGcPlan | null;
  /** Ids, in order. */
  readonly containers: readonly string[];
  readonly sandboxes: readonly string[];
  readonly logFolders: readonly string[];
  readonly error?: string;
}

/** What came of a pass over logs. */
export interface LogPruneAnswer {
  readonly freedBytes: number;
}

interface Wish {
  readonly goal: ImageGcGoal;
  readonly targetPercent?: number;
}

/** GET is the plan, POST is a pass. `rest` is the path below `/api/v1/gc`. */
export async function gcAnswer(
  view: GcView | undefined,
  request: ApiRequest,
  rest: readonly string[],
): Promise<ApiAnswer> {
  const kind = rest.join("/");
  if (!["images", "containers", "logs"].includes(kind))
    throw new HoldfastError("AGENT_ROUTE", "not-found", `there is no GC of "${kind}"`);
  if (view === undefined)
    throw new HoldfastError("AGENT_NOT_READY", "retryable", "the container runtime has not answered yet");
  if (kind === "containers") return containersAnswer(view, request);
  if (kind === "logs") return logsAnswer(view, request);
  return imagesAnswer(view, request);
}

async function containersAnswer({ containerGc }: GcView, { method, signal }: ApiRequest): Promise<ApiAnswer> {
  if (method !== "POST") return { json: await containerGc.plan({ signal }) };
  const { plan = null, containers, sandboxes, logFolders, error } = await containerGc.collect({ signal });
  const failed = error === undefined ? {} : { error: errorText(error) };
  return { json: { plan, containers, sandboxes, logFolders, ...failed } satisfies ContainerGcAnswer };
}

async function logsAnswer({ logs }: GcView, { method, signal }: ApiRequest): Promise<ApiAnswer> {
  if (method !== "POST") return { json: await logs.planRetention(signal) };
  return { json: { freedBytes: await logs.prune(signal) } satisfies LogPruneAnswer };
}

async function imagesAnswer({ imageGc }: GcView, request: ApiRequest): Promise<ApiAnswer> {
  if (imageGc === undefined)
    throw new HoldfastError(
      "AGENT_NO_IMAGE_GC",
      "not-found",
      "imageGCScope is none: this agent removes no images, and keeps no account of them",
    );
  const { signal } = request;
  if (request.method !== "POST")
    return { json: await imageGc.plan({ ...wishOf(request.query.get.bind(request.query)), signal }) };
  const body = (request.body ?? {}) as Readonly<Record<string, unknown>>;
  const wish = wishOf((key) => textOf(body[key]));
  const by = textOf(body["by"]) ?? undefined;
  if (by !== undefined && !/^[\w.@-]{1,64}$/.test(by)) throw refused("by", "must be a user's name");
  const run = (onStep: NonNullable<ImageGcPassOptions["onStep"]>): Promise<ImageGcResult> => {
    const { goal, ...target } = wish;
    const options = { signal, onStep, ...(by === undefined ? {} : { by }) };
    return goal === "unused"
      ? imageGc.deleteUnusedImages(options)
      : imageGc.collect({ ...options, ...target });
  };
  return { stream: passLines(run), contentType: "application/x-ndjson" };
}

function textOf(value: unknown): string | null {
  return typeof value === "string" ? value : typeof value === "number" ? String(value) : null;
}

function wishOf(get: (key: string) => string | null): Wish {
  const goal = get("goal") ?? "thresholds";
  if (goal !== "thresholds" && goal !== "unused") throw refused("goal", "must be thresholds or unused");
  const target = get("targetPercent");
  if (target === null) return { goal };
  if (!/^\d{1,3}$/.test(target) || Number(target) > 100 || goal === "unused")
    throw refused("targetPercent", "must be a whole number from 0 to 100, and goes with the goal thresholds");
  return { goal, targetPercent: Number(target) };
}

function refused(field: string, rule: string): HoldfastError {
  return new HoldfastError("AGENT_REQUEST", "bad-input", `${field} ${rule}`, { fieldPath: field });
}

/** What waits for the reader is bounded by the plan: two lines for each image at most. */
async function* passLines(
  run: (onStep: (step: ImageGcStep) => void) => Promise<ImageGcResult>,
): AsyncGenerator<string> {
  const waiting: ImageGcLine[] = [];
  let wake = (): void => {};
  const push = (line: ImageGcLine): void => {
    waiting.push(line);
    wake();
  };
  let over: { readonly error?: unknown } | undefined;
  const work = async (): Promise<void> => {
    try {
      push(doneLine(await run(push)));
      over = {};
    } catch (error) {
      over = { error };
    }
    wake();
  };
  void work();
  for (;;) {
    const line = waiting.shift();
    if (line !== undefined) yield `${JSON.stringify(line)}\n`;
    else if (over === undefined) await new Promise<void>((resolve) => (wake = resolve));
    else if (over.error === undefined) return;
    else throw over.error as Error;
  }
}

function doneLine({ removed, freedBytes, error, heldBy }: ImageGcResult): ImageGcDone {
  return {
    kind: "done",
    removed: removed.length,
    freedBytes,
    ...(error === undefined ? {} : { error: errorText(error) }),
    ...(heldBy === undefined ? {} : { heldBy }),
  };
}
