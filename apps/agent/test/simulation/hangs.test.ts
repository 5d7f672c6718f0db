// SPDX-License-Identifier: Apache-2.0

/** Nothing is contagious: one call that never answers, among 100 pods. Time is virtual, so paces can be compared exactly. */
import { beforeAll, expect, it, onTestFinished } from "vitest";
import type { FaultEffects, FaultMatch } from "@holdfast/cri-fake";
import { Crowd, podName } from "./crowd.ts";
import { manifest } from "./pods.ts";

const PODS = 100;
/** Half an hour of 100 pods takes a few seconds, on a machine that does ten other things a minute. */
const PATIENCE_MS = 120_000;
const HUNG = podName(7);
const OTHERS = Array.from({ length: PODS }, (_, number) => podName(number)).filter((name) => name !== HUNG);

/** Of a node on which nothing hangs. */
let normal: Awaited<ReturnType<Crowd["pace"]>>;

beforeAll(async () => {
  const undisturbed = new Crowd(PODS);
  await undisturbed.up();
  await undisturbed.advance(15_000);
  normal = await undisturbed.pace(OTHERS);
  await undisturbed.stop();
}, PATIENCE_MS);

/** A node of the test's own: one that is late would go on with the next one's. */
function crowd(pods: number): Crowd {
  const node = new Crowd(pods);
  onTestFinished(() => {
    expect(node.runtime.violations).toEqual([]);
    expect(node.troubles).toEqual([]);
  });
  return node;
}

interface Case {
  readonly method: string;
  /** What makes the call be made for the pod that hangs. */
  readonly provoke: (on: Crowd) => void;
  readonly named: RegExp;
  /** What is right in the end. */
  readonly recovered: (on: Crowd) => boolean;
}

const runs = (on: Crowd): boolean => on.containerOf(HUNG) !== undefined;
const killContainer = (on: Crowd): void => void on.runtime.kill(on.containerOf(HUNG)?.id ?? "");
const POD = `pod default/${HUNG}-node-1`;

const CASES: readonly Case[] = [
  {
    method: "ContainerStatus",
    provoke: killContainer,
    named: new RegExp(
      `${POD}.*ContainerStatus of container "main" .*(has not answered for|failed after) \\d+`,
    ),
    recovered: (on) => runs(on) && on.running().length === PODS + 1,
  },
  {
    method: "StopContainer",
    provoke: (on) => on.manifests.remove(`${HUNG}.json`),
    named: new RegExp(`${POD}: StopContainer of container "main" .* has not answered for \\d+s`),
    recovered: (on) => on.runtime.sandboxes().every((sandbox) => !sandbox.podName.startsWith(HUNG)),
  },
  {
    method: "PodSandboxStatus",
    provoke: (on) => {
      const sandbox = on.runtime.sandboxes().find((one) => one.podName.startsWith(HUNG));
      on.runtime.killSandbox(sandbox?.id ?? "");
    },
    named: new RegExp(`${POD}.*PodSandboxStatus of .*(has not answered for|failed after) \\d+`),
    recovered: (on) =>
      runs(on) && on.runtime.sandboxes().some((sandbox) => sandbox.podName.startsWith(HUNG) && sandbox.ready),
  },
  {
    method: "RunPodSandbox",
    provoke: (on) => on.manifests.write(`${HUNG}.json`, manifest(HUNG, {}, 2)),
    named: new RegExp(`${POD}: RunPodSandbox .*has not answered for \\d+s`),
    recovered: runs,
  },
];

it.each(CASES)(
  "$method of one pod hangs for ever: 99 others keep their pace",
  async ({ method, provoke, named, recovered }) => {
    const node = crowd(PODS);
    await node.up();
    const fault = node.runtime.addFault({ match: { method, podName: `${HUNG}-node-1` }, hang: true });
    provoke(node);
    await node.advance(15_000);
    expect(await node.pace(OTHERS)).toEqual(normal);
    const { ready, text } = await node.nodeText();
    expect(ready).toBe("True");
    expect(text).toMatch(named);
    expect(fault.hits).toBeGreaterThan(0);
    // The pod itself says so, and no other.
    const told = (await node.pods()).filter(({ holdfast }) => holdfast.problems.length > 0);
    expect(told.map(({ metadata }) => metadata.name)).toEqual([`${HUNG}-node-1`]);
    expect(told[0]?.holdfast.problems.join()).toMatch(
      new RegExp(`${method}.*(not answered for|failed after) \\d+`),
    );
    // Half an hour later nothing has changed but its age.
    await node.advance(1_800_000);
    expect((await node.nodeText()).ready).toBe("True");
    expect(node.runtime.inFlight().length).toBeLessThan(5);
    fault.lift();
    await node.until("it recovers by itself", () => recovered(node), 120_000);
    await node.advance(60_000);
    expect((await node.nodeText()).text).not.toMatch(/answered|failed/);
    expect((await node.pods()).flatMap(({ holdfast }) => holdfast.problems)).toEqual([]);
    const phases = new Set((await node.pods()).map(({ status }) => status.phase));
    expect([...phases]).toEqual(["Running"]);
  },
  PATIENCE_MS,
);

it("the whole runtime stops answering: NotReady, and which call", async () => {
  const node = crowd(20);
  await node.up();
  const before = node.running().map(({ id }) => id);
  const fault = node.runtime.addFault({ hang: true });
  await node.advance(45_000);
  const { ready, text } = await node.nodeText();
  expect(ready).toBe("False");
  expect(text).toMatch(/container runtime is down: .*Status: no answer from the runtime within 5000 ms/);
  await node.advance(240_000);
  expect((await node.nodeText()).text).toMatch(
    /pleg was last seen active .* ago; threshold is 3m0s: List(PodSandbox|Containers)/,
  );
  fault.lift();
  await node.advance(130_000);
  expect((await node.nodeText()).ready).toBe("True");
  expect(node.running().map(({ id }) => id)).toEqual(before);
});

it("four RunPodSandbox hang at once: others still start and restart", async () => {
  const node = crowd(20);
  await node.up();
  const names = ["h0", "h1", "h2", "h3"];
  const faults = names.map((name) =>
    node.runtime.addFault({ match: { method: "RunPodSandbox", podName: `${name}-node-1` }, hang: true }),
  );
  for (const name of names) node.manifests.write(`${name}.json`, manifest(name));
  await node.advance(500);
  expect(node.runtime.inFlight().filter(({ method }) => method === "RunPodSandbox")).toHaveLength(4);
  // All places are held, until a call is older than 10 s.
  expect(await node.restart(podName(1))).toBeLessThan(11_000);
  expect(await node.restart(podName(2))).toBeLessThan(200);
  expect(await node.apply("fresh", 1)).toBeLessThan(500);
  for (const fault of faults) fault.lift();
  await node.until("the four run", () => names.every((name) => node.containerOf(name) !== undefined), 20_000);
});

/** A pod whose first CreateContainer goes like that. Returns its containers once one runs and two minutes have passed. */
async function lateCreate(node: Crowd, effects: FaultEffects): Promise<string[]> {
  await node.up();
  const match: FaultMatch = { method: "CreateContainer", podName: "late-node-1", times: 1 };
  node.runtime.addFault({ match, ...effects });
  node.manifests.write("late.json", manifest("late"));
  await node.until("it runs", () => node.containerOf("late") !== undefined, 400_000, 500);
  await node.advance(120_000);
  return node.runtime
    .containers()
    .filter((container) => container.podName === "late-node-1")
    .map(({ attempt, phase }) => `${attempt} ${phase}`);
}

it.each<readonly [string, FaultEffects]>([
  ["is lost", { after: { hang: true } }],
  ["is an error", { after: { error: { code: "CRI_INTERNAL" } } }],
])("a CreateContainer that succeeds and whose answer %s is adopted, not repeated", async (_what, effects) => {
  const node = crowd(3);
  expect(await lateCreate(node, effects)).toEqual(["0 running"]);
  // Three of the crowd, and this one.
  expect(node.runtime.calls["CreateContainer"]).toBe(4);
  expect((await node.pod("late")).status.containerStatuses?.[0]?.restartCount).toBe(0);
});

// Who meets it first decides: a create that is repeated takes it for its own, a look has it removed. Both ways come up, and never are there two.
it.each([125_000, 130_000, 140_000, 150_000, 160_000, 170_000])(
  "what a CreateContainer makes after %i ms, long after its deadline, is adopted, or removed before another one is started",
  async (latencyMs) => {
    const node = crowd(3);
    const [only, ...more] = await lateCreate(node, { latencyMs, ignoreCancel: true });
    const removed = node.runtime.calls["RemoveContainer"] ?? 0;
    expect([only, more]).toEqual([`${removed} running`, []]);
    expect(removed).toBeLessThanOrEqual(1);
  },
);
