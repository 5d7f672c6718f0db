// SPDX-License-Identifier: Apache-2.0

// A field that counts as honoured changes what the agent does: a pod that says something in all of them lives through the same minutes once as it is, and once for
// each field with another value there. What is compared is everything that left the agent (calls to the runtime, files, mounts, probes, each with its time) and what
// statuses say of containers.
import { listPodFields } from "@holdfast/pod";
import { describe, expect, it } from "vitest";
import { fullPod, OTHER_VALUES } from "./full-pod.ts";
import { SimulatedNode } from "./simulated-node.ts";

const CALLS = [
  "runPodSandbox",
  "createContainer",
  "startContainer",
  "stopContainer",
  "execSync",
  "pullImage",
  "imageStatus",
] as const;
/** Change with every byte of the document. */
const HASHES = /"(io\.kubernetes\.container\.hash|kubernetes\.io\/config\.[a-z]+)":"[^"]*"/g;
const SECOND = 1000;

/** Not seen here, and why. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  apiVersion: "has one value",
  kind: "has one value",
  "spec.containers[].env[].valueFrom.fieldRef.apiVersion": "has one value",
  "spec.containers[].livenessProbe.successThreshold": "has one value",
  "spec.containers[].startupProbe.successThreshold": "has one value",
  "spec.containers[].readinessProbe.terminationGracePeriodSeconds": "is refused: readiness ends nothing",
  "spec.priority": "ranks pods for eviction: packages/eviction, and a warning unless evictStaticPods is set",
};

const HONOURED = listPodFields()
  .filter(({ status, hasParts }) => status === "honoured" && !hasParts)
  .map(({ path }) => path)
  // What an init container's fields do is what a container's do, but for its restart policy.
  .filter((path) => !path.startsWith("spec.initContainers[].") || path.endsWith("[].restartPolicy"))
  .filter((path) => !Object.hasOwn(ELSEWHERE, path));

/** Everything that leaves the agent, from the first look at the manifest until the pod is gone. */
async function lifeOf(manifest: object): Promise<readonly string[]> {
  const trace: string[] = [];
  const node = new SimulatedNode({
    config: { clusterDNS: ["10.0.0.10"], clusterDomain: "cluster.local" },
    fake: {
      programs: ({ command, name }) => ({
        ...(JSON.parse(command[1] ?? "{}") as object),
        exec: () => ({ exitCode: name === "exec" && isDown() ? 1 : 0 }),
      }),
    },
  });
  /** Probes fail at first, and again after 30 s; for 10 s before that they get no answer. */
  const isDown = (): boolean => node.clock.monotonic() < 4 * SECOND || node.clock.monotonic() > 40 * SECOND;
  const note = (what: string, data: unknown): void => {
    const text = JSON.stringify(data, (_key, value: unknown) =>
      typeof value === "bigint" ? Number(value) : value,
    );
    trace.push(`${node.clock.monotonic()} ${what} ${text.replaceAll(HASHES, '"$1":""')}`);
  };
  spy(node.runtime, CALLS, note);
  // manifest.json is the pod itself.
  spy(node.disk.files, ["writeFile"], (what, data) => {
    if (!JSON.stringify(data).includes("/manifest.json")) note(what, data);
  });
  spy(node.disk.volumes, ["makeFolder", "makeFile", "mountTmpfs", "setGroup"], note);
  spy(node.cgroups.tree, ["write"], note);
  node.probes.handlers = (clock) => ({
    start(request, onDone) {
      note("probe", request);
      const hangs = node.clock.monotonic() > 30 * SECOND && !isDown();
      const answer = isDown()
        ? ({ result: "failure", output: "no" } as const)
        : ({ result: "success", output: "" } as const);
      const timer = clock.timer(hangs ? 1000 * SECOND : 1, () => onDone(answer));
      return {
        expire() {
          note("probe expires", request);
          timer.cancel();
          onDone({ result: "failure", output: "timeout" });
        },
        cancel: () => timer.cancel(),
      };
    },
  });
  await node.start();
  node.manifests.write("full.json", JSON.stringify(manifest));
  let told = "";
  for (let seconds = 0; seconds < 130; seconds++) {
    if (seconds === 110) node.manifests.remove("full.json");
    await node.advance(SECOND);
    const shown = JSON.stringify((await node.pods()).map(statusOf));
    if (shown !== told) note("status", shown);
    told = shown;
  }
  await node.stop();
  expect(node.troubles).toEqual([]);
  return trace;
}

type Pods = Awaited<ReturnType<SimulatedNode["pods"]>>;

/** What of a status follows from what was done, and does not merely repeat the manifest. */
function statusOf({ metadata, status }: Pods[number]): unknown {
  const containers = [...(status.initContainerStatuses ?? []), ...(status.containerStatuses ?? [])];
  return [
    metadata.name,
    status.phase,
    status.reason,
    containers.map(({ name, ready, started, restartCount, state, lastState }) => [
      name,
      ready,
      started,
      restartCount,
      state?.waiting?.reason,
      [state?.terminated, lastState?.terminated].map((end) => [end?.reason, end?.exitCode, end?.message]),
    ]),
  ];
}

/** Notes each call of these methods before it is made. */
function spy<T extends object>(
  target: T,
  names: readonly (keyof T & string)[],
  note: (what: string, data: unknown) => void,
): void {
  for (const name of names) {
    const real = target[name] as (...args: unknown[]) => unknown;
    const noted = (...args: unknown[]): unknown => {
      note(
        name,
        args.filter((arg) => typeof arg !== "object" || !Object.hasOwn(arg ?? {}, "signal")),
      );
      return Reflect.apply(real, target, args);
    };
    Object.defineProperty(target, name, { value: noted, configurable: true });
  }
}

/** Which containers live together: those that have a field of one kind. */
const GROUPS = [
  ["plain", "failing"],
  ["failing"],
  ["slow"],
  ["eager"],
  ["http"],
  ["tcp"],
  ["grpc"],
  ["exec"],
] as const;
type Group = (typeof GROUPS)[number];

const livesAsTheyAre = new Map<Group, Promise<readonly string[]>>();

function lifeAsItIs(group: Group): Promise<readonly string[]> {
  const life = livesAsTheyAre.get(group) ?? lifeOf(fullPod(group));
  livesAsTheyAre.set(group, life);
  return life;
}

/** The first line in which two lives differ. */
function difference(a: readonly string[], b: readonly string[]): string | undefined {
  const at = a.findIndex((line, index) => line !== b[index]);
  if (at >= 0) return `${a[at]}\n${b[at]}`;
  return a.length === b.length ? undefined : b[a.length];
}

/** A pod that says something in this field, and the same with another value there. */
function withAndOther(path: string): { readonly group: Group; readonly other: object } {
  for (const group of GROUPS) {
    const pod = structuredClone(fullPod(group)) as unknown as Record<string, unknown>;
    const found = placeOf(pod, path.split("."));
    if (found === undefined) continue;
    const { holder, name } = found;
    holder[name] = Object.hasOwn(OTHER_VALUES, path) ? OTHER_VALUES[path] : otherThan(holder[name]);
    if (holder[name] === null) delete holder[name];
    // A volume that is called otherwise is mounted by that name.
    const text = JSON.stringify(pod);
    const other = path === "spec.volumes[].name" ? text.replaceAll('"fast"', '"fastx"') : text;
    return { group, other: JSON.parse(other) as object };
  }
  throw new Error(`full-pod.ts says nothing in ${path}`);
}

function placeOf(
  at: unknown,
  steps: readonly string[],
): { holder: Record<string, unknown>; name: string } | undefined {
  const [step = "", ...rest] = steps;
  const name = step.replace("[]", "");
  if (typeof at !== "object" || at === null || !Object.hasOwn(at, name)) return undefined;
  const holder = at as Record<string, unknown>;
  if (rest.length === 0) return { holder, name };
  const inner = step.endsWith("[]") ? (holder[name] as unknown[]) : [holder[name]];
  return inner.map((one) => placeOf(one, rest)).find((place) => place !== undefined);
}

function otherThan(value: unknown): unknown {
  if (typeof value === "boolean") return !value;
  if (typeof value === "number") return value + 1;
  if (typeof value === "string") return `${value}x`;
  if (Array.isArray(value)) return value.map(otherThan);
  return { ...(value as object), more: "x" };
}

describe("a field that counts as honoured changes what is done", () => {
  it.each(HONOURED)("%s", async (path) => {
    const { group, other } = withAndOther(path);
    expect(difference(await lifeAsItIs(group), await lifeOf(other))).toBeDefined();
  });

  it.each(GROUPS)("and nothing else does: %s, %s", async (...group) => {
    const known = GROUPS.find((one) => one.join() === group.filter(Boolean).join()) ?? GROUPS[0];
    expect(difference(await lifeAsItIs(known), await lifeOf(fullPod(known)))).toBeUndefined();
  });

  it.each([
    { tolerations: [{ operator: "Exists" }] },
    { enableServiceLinks: false },
    { nodeSelector: { a: "b" } },
    { priority: 7 },
  ])("nor does one that is told to have no effect: %j", async (more) => {
    const [group] = GROUPS;
    const pod = fullPod(group);
    const other = await lifeOf({ ...pod, spec: { ...pod.spec, ...more } });
    expect(difference(await lifeAsItIs(group), other)).toBeUndefined();
  });
});
