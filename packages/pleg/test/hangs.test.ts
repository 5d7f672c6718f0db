// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { Environment } from "./environment.ts";

const PODS = 100;

async function hundred(): Promise<Environment> {
  const env = new Environment();
  for (let pod = 0; pod < PODS; pod++) {
    env.runtime.sandbox(`p${pod}`);
    env.runtime.container(`p${pod}`, `c-${pod}`);
  }
  await env.pleg.start();
  await env.clock.advance(10);
  env.published();
  return env;
}

test("one hung status call delays nobody else, is named, and heals by itself", async () => {
  await using env = await hundred();
  env.runtime.fault = (method, { containerId }) =>
    method === "containerStatus" && containerId === "c-7" ? "hang" : undefined;
  for (let pod = 0; pod < PODS; pod++)
    env.runtime.container(`p${pod}`, `c-${pod}`, "exited", { exitCode: 1 });
  await env.clock.advance(1000);
  expect(env.published()).toHaveLength(PODS - 1);
  await env.clock.advance(2000);
  expect(env.pleg.health()).toEqual({
    failures: [],
    warnings: [
      expect.stringMatching(/^pod p7: ContainerStatus of container "c" \(c-7\) has not answered for \ds$/),
    ],
  });
  await env.clock.advance(10_000);
  expect(env.pleg.get("p7").error?.message).toMatch(
    /ContainerStatus of container "c" \(c-7\) failed after 10000 ms/,
  );
  expect(env.pleg.get("p7").status.containers[0]?.state).toBe("running");
  expect(env.pleg.snapshot().quarantined).toMatchObject([{ podUid: "p7", failures: 1 }]);
  expect(env.pleg.health().failures).toEqual([]);

  // Others go on at their pace.
  env.runtime.container("p8", "c-8b", "running");
  await env.clock.advance(1100);
  expect(env.stateOf("p8", "c-8b")).toBe("running");

  env.runtime.fault = () => undefined;
  env.published();
  await env.clock.advance(12_000);
  expect(env.published()).toEqual(["ContainerDied c-7"]);
  expect(env.pleg.get("p7").error).toBeUndefined();
  expect(env.pleg.snapshot().quarantined).toEqual([]);
});

test("as many hung pods as there are places: the others are still served", async () => {
  await using env = await hundred();
  env.runtime.fault = (method, { containerId }) =>
    method === "containerStatus" && Number(containerId?.slice(2)) < 16 ? "hang" : undefined;
  for (let pod = 0; pod < PODS; pod++) env.runtime.container(`p${pod}`, `c-${pod}`, "exited");
  await env.clock.advance(4000);
  expect(env.published()).toHaveLength(PODS - 16);
});

test("retries of a pod that fails come further and further apart, up to a minute", async () => {
  await using env = await hundred();
  let tries = 0;
  env.runtime.fault = (method, { containerId }) => {
    if (method !== "containerStatus" || containerId !== "c-3") return undefined;
    tries += 1;
    return new Error("broken");
  };
  env.runtime.container("p3", "c-3", "exited");
  await env.clock.advance(600_000);
  expect(tries).toBeGreaterThan(12);
  expect(tries).toBeLessThan(20);
});

test("a reader of a hung pod gets the error, not silence", async () => {
  await using env = await hundred();
  env.runtime.fault = (method, { containerId }) =>
    method === "containerStatus" && containerId === "c-5" ? "hang" : undefined;
  env.runtime.container("p5", "c-5", "exited");
  const answer = env.pleg.getNewerThan("p5", env.clock.monotonic(), new AbortController().signal);
  await env.clock.advance(12_000);
  expect((await answer).error?.message).toContain("ContainerStatus");
});

test("a pod that vanishes while its status call hangs is gone", async () => {
  await using env = await hundred();
  env.runtime.fault = (method, { podSandboxId }) =>
    method === "podSandboxStatus" && podSandboxId === "p5-sb" ? "hang" : undefined;
  env.runtime.sandbox("p5", "p5-sb", { ready: false });
  await env.clock.advance(3000);
  env.runtime.sandboxes.delete("p5-sb");
  env.runtime.containers.delete("c-5");
  await env.clock.advance(12_000);
  expect(env.pleg.snapshot()).toMatchObject({ pods: PODS - 1, quarantined: [], stuckCalls: [] });
});

test("lists that hang for three minutes are a failure that names the call", async () => {
  await using env = await hundred();
  env.runtime.fault = (method) => (method === "listPodSandbox" ? "hang" : undefined);
  await env.clock.advance(60_000);
  expect(env.pleg.health().failures).toEqual([]);
  await env.clock.advance(130_000);
  expect(env.pleg.health().failures).toEqual([
    expect.stringMatching(/^pleg was last seen active 3m\d+s ago; threshold is 3m0s: ListPodSandbox/),
  ]);
  env.runtime.fault = () => undefined;
  await env.clock.advance(121_000);
  expect(env.pleg.health().failures).toEqual([]);
});

test("no runtime at the start: it goes on trying, says so, and goes on when one appears", async () => {
  await using env = new Environment();
  env.runtime.fault = () => new Error("no such socket");
  await env.pleg.start();
  let listed = false;
  void env.pleg.whenListedOnce(new AbortController().signal).then(() => (listed = true));
  await env.clock.advance(5000);
  expect([listed, env.pleg.health().failures]).toEqual([
    false,
    [expect.stringMatching(/^pleg has yet to be successful: List\w+ failed after 0 ms: no such socket/)],
  ]);
  env.runtime.fault = () => undefined;
  await env.clock.advance(1000);
  expect([listed, env.pleg.health().failures]).toEqual([true, []]);
});

test("stop during a hung call, stop twice, stop before start, start again", async () => {
  await using env = new Environment();
  await env.pleg.stop();
  env.runtime.fault = () => "hang";
  await env.pleg.start();
  await env.clock.advance(10);
  const reader = env.pleg.getNewerThan("p1", 0, new AbortController().signal);
  const refused = expect(reader).rejects.toMatchObject({ code: "PLEG_STOPPED" });
  await env.pleg.stop();
  await env.pleg.stop();
  await refused;
  expect(env.clock.waiting).toBe(0);
  env.runtime.fault = () => undefined;
  env.runtime.container("p1", "c1");
  await env.pleg.start();
  await env.clock.advance(10);
  expect(env.stateOf("p1", "c1")).toBe("running");
});

test("garbage for an answer is an error of that pod, not of the others", async () => {
  await using env = new Environment();
  const port = env.runtime.port.containerStatus;
  Object.assign(env.runtime.port, {
    containerStatus: async (...args: Parameters<typeof port>) =>
      args[0].containerId === "c1" ? { status: undefined, info: {} } : port(...args),
  });
  env.runtime.container("p1", "c1");
  env.runtime.container("p2", "c2");
  await env.relist();
  expect(env.published()).toEqual(["ContainerStarted c2"]);
  expect(env.pleg.get("p1").error?.message).toContain("the answer holds no status");
});

test("a list that lacks what still runs is not believed: the pod is set apart until a list has it again", async () => {
  await using env = await hundred();
  const { runtime } = env;
  const [kept, sandbox] = [runtime.containers.get("c-5"), runtime.sandboxes.get("p6-sb")];
  if (kept === undefined || sandbox === undefined) throw new Error("not there");
  runtime.hidden.add("c-5").add("p6-sb").add("c-6");
  await env.clock.advance(2500);
  expect(env.published()).toEqual([]);
  expect(env.stateOf("p5", "c-5")).toBe("running");
  expect(env.pleg.get("p5").error?.message).toContain(
    'the list lacks container "c" (c-5), which the runtime still has',
  );
  expect(env.pleg.get("p6").error?.message).toContain("the list lacks container");
  // For so long that the next try would come late; the first list that is whole brings it forward.
  await env.clock.advance(60_000);
  runtime.hidden.clear();
  await env.clock.advance(1100);
  expect(env.pleg.get("p5").error).toBeUndefined();
  expect(env.pleg.snapshot().quarantined).toEqual([]);
  expect(env.published()).toEqual([]);
  // What is truly gone is gone.
  runtime.containers.delete("c-5");
  await env.clock.advance(2000);
  expect(env.published()).toEqual(["ContainerDied c-5", "ContainerRemoved c-5"]);
});

test("a gauge grows while something is stuck, also between tries, and is 0 after it", async () => {
  await using env = await hundred();
  const stuck = (): number => env.metrics.value("holdfast_pleg_stuck_seconds") ?? -1;
  expect(stuck()).toBe(0);
  env.runtime.fault = (method, { containerId }) =>
    method === "containerStatus" && containerId === "c-7" ? "hang" : undefined;
  env.runtime.container("p7", "c-7", "exited");
  const seen: number[] = [];
  for (let at = 0; at < 20; at++) {
    await env.clock.advance(5000);
    seen.push(stuck());
  }
  expect(seen).toEqual(seen.toSorted((a, b) => a - b));
  expect(seen.at(-1)).toBeGreaterThan(80);
  env.runtime.fault = () => undefined;
  await env.clock.advance(70_000);
  expect(stuck()).toBe(0);
});

test("the gauge grows while the lists themselves hang, though nobody asks and no relist ends", async () => {
  await using env = await hundred();
  env.runtime.fault = () => "hang";
  await env.clock.advance(60_000);
  expect(env.metrics.value("holdfast_pleg_stuck_seconds")).toBeGreaterThan(50);
  await env.clock.advance(300_000);
  expect(env.metrics.value("holdfast_pleg_stuck_seconds")).toBeGreaterThan(300);
  expect(env.pleg.snapshot().listProblemForMs).toBeGreaterThan(300_000);
});

test("what is stuck is told in full: call, pod, container, since when, and the last good round", async () => {
  await using env = await hundred();
  env.runtime.fault = (method, { containerId }) =>
    method === "containerStatus" && containerId === "c-7" ? "hang" : undefined;
  env.runtime.container("p7", "c-7", "exited");
  await env.clock.advance(5000);
  const { lastRelistAgeMs, stuckCalls } = env.pleg.snapshot();
  expect(stuckCalls).toMatchObject([
    { method: "ContainerStatus", podUid: "p7", container: "c", id: "c-7", ageMs: expect.any(Number) },
  ]);
  expect(stuckCalls[0]?.ageMs).toBeGreaterThan(3000);
  expect(lastRelistAgeMs).toBeLessThan(2100);
});
