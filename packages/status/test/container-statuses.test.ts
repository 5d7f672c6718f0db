// SPDX-License-Identifier: Apache-2.0
import type { ContainerStatus, Pod, PodStatus } from "@holdfast/core/pod-types";
import type { RuntimePodStatus } from "@holdfast/core/runtime-status";
import { computeContainerStatuses, computeLegalStatuses, shouldContainerBeRestarted } from "@holdfast/status";
import type { WaitingReason } from "@holdfast/status";
import { describe, expect, test } from "vitest";
import {
  ended,
  exited,
  pod,
  record,
  runtime,
  running,
  sandbox,
  sidecar,
  status,
  waiting,
} from "./builders.ts";

function convert(
  of: Pod,
  answer: RuntimePodStatus,
  old?: Partial<PodStatus>,
  reasons: readonly (readonly [string, WaitingReason])[] = [],
): { init: readonly ContainerStatus[]; regular: readonly ContainerStatus[] } {
  return computeContainerStatuses({
    pod: of,
    runtime: answer,
    previous: old === undefined ? undefined : { phase: "Running", ...old },
    waitingReasons: new Map(reasons),
  });
}

const only = (lists: { regular: readonly ContainerStatus[] }): ContainerStatus | undefined =>
  lists.regular[0];
const LOST = { terminated: { reason: "ContainerStatusUnknown", exitCode: 137 } };
const loop: readonly [string, WaitingReason] = ["a", { reason: "CrashLoopBackOff", message: "back-off 10s" }];

// kubelet: TestConvertToAPIContainerStatuses, TestGenerateAPIPodStatusWithReasonCache
describe("without a record", () => {
  test("a new pod waits: ContainerCreating, or PodInitializing when it has init containers", () => {
    expect(only(convert(pod("Always"), runtime([])))).toEqual({
      name: "a",
      state: { waiting: { reason: "ContainerCreating" } },
      lastState: {},
      ready: false,
      restartCount: 0,
      image: "busybox",
      imageID: "",
    });
    const both = convert(pod("Always", ["a"], ["i"]), runtime([]));
    expect([...both.init, ...both.regular].map(({ state }) => state.waiting?.reason)).toEqual([
      "PodInitializing",
      "PodInitializing",
    ]);
  });

  test("an old end is kept whole", () => {
    const old = status("a", ended(3), { restartCount: 4, containerID: "containerd://x" });
    expect(only(convert(pod("Never"), runtime([]), { containerStatuses: [old] }))).toBe(old);
  });

  test("one that used to run was lost: last state unknown, one restart more", () => {
    const old = { containerStatuses: [status("a", running, { restartCount: 2 })] };
    const lost = only(convert(pod("Always"), runtime([]), old));
    expect(lost).toMatchObject({
      state: { waiting: { reason: "ContainerCreating" } },
      lastState: LOST,
      restartCount: 3,
    });
    const deleted = only(convert(pod("Always", ["a"], [], { deleted: true }), runtime([]), old));
    expect(deleted).toMatchObject({ lastState: LOST, restartCount: 2 });
  });

  test("one that used to run and has a last state keeps it", () => {
    const old = { containerStatuses: [status("a", running, { restartCount: 2, lastState: ended(1) })] };
    expect(only(convert(pod("Always"), runtime([]), old))).toMatchObject({
      lastState: ended(1),
      restartCount: 2,
    });
  });

  test("restarts survive while it waits", () => {
    const old = {
      containerStatuses: [status("a", waiting("ErrImagePull"), { restartCount: 5, lastState: ended(1) })],
    };
    expect(only(convert(pod("Always"), runtime([]), old))).toMatchObject({
      restartCount: 5,
      lastState: ended(1),
    });
  });

  test("a lost init container of an initialised pod is taken as done; a sidecar still waits", () => {
    const lists = convert(pod("Always", ["a"], ["i", sidecar("s")]), runtime([record("a")]));
    expect(lists.init[0]?.state.terminated).toMatchObject({ reason: "Completed", exitCode: 0 });
    expect(lists.init[1]?.state).toEqual({ waiting: { reason: "PodInitializing" } });
  });
});

describe("from records", () => {
  test("running, created, exited", () => {
    const names = ["a", "b", "c"];
    const lists = convert(
      pod("Always", names),
      runtime([record("a"), record("b", { state: "created" }), exited("c", 2, { message: "why" })]),
    );
    expect(lists.regular.map(({ state }) => state)).toEqual([
      { running: { startedAt: "1970-01-01T00:00:02Z" } },
      { waiting: {} },
      {
        terminated: {
          exitCode: 2,
          reason: "Error",
          message: "why",
          startedAt: "1970-01-01T00:00:02Z",
          finishedAt: "1970-01-01T00:00:03Z",
          containerID: "containerd://c-0",
        },
      },
    ]);
    expect(lists.regular[0]).toMatchObject({
      containerID: "containerd://a-0",
      image: "docker.io/library/busybox:latest",
      imageID: "sha256:1",
    });
  });

  test.each([
    ["OOMKilled", 137],
    ["StartError", 128],
    ["Unknown", 255],
    ["Error", 143],
  ])("reason %s is containerd's word, without a signal", (reason, exitCode) => {
    const end = only(convert(pod("Always"), runtime([exited("a", exitCode, { reason })])))?.state.terminated;
    expect([end?.reason, end?.exitCode, end?.signal]).toEqual([reason, exitCode, undefined]);
  });

  test("an exit that is not confirmed has the reason that its code says", () => {
    const reasonOf = (exitCode: number): string | undefined =>
      only(convert(pod("Always"), runtime([exited("a", exitCode, { reason: "", exitUnconfirmed: true })])))
        ?.state.terminated?.reason;
    expect([reasonOf(0), reasonOf(137)]).toEqual(["Completed", "Error"]);
    expect(
      only(convert(pod("Always"), runtime([exited("a", 1, { reason: "" })])))?.state.terminated?.reason,
    ).toBe(undefined);
  });

  test("the second newest is the last state; older ones and unknown names are not looked at", () => {
    const answer = runtime([
      record("a", { attempt: 2 }),
      exited("a", 7, { attempt: 1 }),
      exited("a", 8, { attempt: 0 }),
      record("stranger"),
    ]);
    const lists = convert(pod("Always"), answer);
    expect(lists.regular.length).toBe(1);
    expect(only(lists)).toMatchObject({ restartCount: 2, lastState: { terminated: { exitCode: 7 } } });
  });

  test("unknown after running is lost for good; unknown otherwise waits", () => {
    const answer = runtime([record("a", { state: "unknown" })]);
    const old = { containerStatuses: [status("a", running, { restartCount: 1 })] };
    expect(only(convert(pod("Always"), answer, old))).toMatchObject({ state: LOST, restartCount: 2 });
    expect(only(convert(pod("Always"), answer))?.state).toEqual({ waiting: {} });
  });

  test("restarts never fall, and a successor counts even when its annotation does not", () => {
    const old = (more: Partial<ContainerStatus>): Partial<PodStatus> => ({
      containerStatuses: [
        status("a", ended(1), { restartCount: 5, containerID: "containerd://old", ...more }),
      ],
    });
    expect(only(convert(pod("Always"), runtime([record("a")]), old({})))?.restartCount).toBe(6);
    const same = old({ state: running, containerID: "containerd://a-0" });
    expect(only(convert(pod("Always"), runtime([record("a")]), same))?.restartCount).toBe(5);
    expect(
      only(convert(pod("Always"), runtime([record("a", { restartCount: 9 })]), old({})))?.restartCount,
    ).toBe(9);
  });

  test("the end of a predecessor that the runtime has forgotten is remembered", () => {
    const end = { terminated: { exitCode: 4, containerID: "containerd://old" } };
    const old = { containerStatuses: [status("a", end, { containerID: "containerd://old" })] };
    const next = only(convert(pod("Always"), runtime([record("a", { attempt: 1 })]), old));
    expect(next?.lastState).toEqual(end);
    const after = next === undefined ? {} : { containerStatuses: [next] };
    expect(only(convert(pod("Always"), runtime([record("a", { attempt: 1 })]), after))?.lastState).toEqual(
      end,
    );
  });
});

describe("waiting reasons", () => {
  test("crash-looping: Waiting CrashLoopBackOff, the death beside it, and the same at the next look", () => {
    const answer = runtime([exited("a", 1, { attempt: 3 }), exited("a", 2, { attempt: 2 })]);
    const first = only(convert(pod("Always"), answer, undefined, [loop]));
    expect(first).toMatchObject({
      state: { waiting: { reason: "CrashLoopBackOff", message: "back-off 10s" } },
      lastState: { terminated: { exitCode: 1, containerID: "containerd://a-3" } },
      restartCount: 3,
    });
    const again = convert(pod("Always"), answer, first === undefined ? {} : { containerStatuses: [first] }, [
      loop,
    ]);
    expect(only(again)).toEqual(first);
  });

  test("without an entry the end itself stays visible, and is not its own last state", () => {
    const answer = runtime([exited("a", 1)]);
    const looping = only(convert(pod("Always"), answer, undefined, [loop]));
    const old = looping === undefined ? {} : { containerStatuses: [looping] };
    expect(only(convert(pod("Always"), answer, old))).toMatchObject({
      state: { terminated: { exitCode: 1 } },
      lastState: {},
    });
  });

  test("an image that cannot be pulled", () => {
    const reason = ["a", { reason: "ErrImagePull", message: "not found" }] as const;
    expect(only(convert(pod("Never"), runtime([]), undefined, [reason]))?.state).toEqual({
      waiting: { reason: "ErrImagePull", message: "not found" },
    });
  });

  test("not for what will not be started: running, ended for good, pod deleted, init container that is done", () => {
    const reason = ["i", { reason: "CrashLoopBackOff", message: "" }] as const;
    expect(
      only(convert(pod("Always"), runtime([record("a")]), undefined, [loop]))?.state.running,
    ).toBeDefined();
    expect(
      only(convert(pod("Never"), runtime([exited("a", 1)]), undefined, [loop]))?.state.terminated,
    ).toBeDefined();
    const gone = pod("Always", ["a"], [], { deleted: true });
    expect(only(convert(gone, runtime([exited("a", 1)]), undefined, [loop]))?.state.terminated).toBeDefined();
    const answer = runtime([exited("i", 0)]);
    expect(
      convert(pod("Always", ["a"], ["i"]), answer, undefined, [reason]).init[0]?.state.terminated,
    ).toBeDefined();
    expect(
      convert(pod("Never", ["a"], [sidecar("i")]), answer, undefined, [reason]).init[0]?.state.waiting,
    ).toBeDefined();
  });
});

// kubelet: TestShouldContainerBeRestarted
test.each([
  ["Always", 0, true],
  ["Always", 1, true],
  ["OnFailure", 0, false],
  ["OnFailure", 1, true],
  ["Never", 0, false],
  ["Never", 1, false],
] as const)("restart policy %s after exit code %i: %s", (policy, exitCode, wanted) => {
  const of = pod(policy);
  const [first] = of.spec.containers;
  if (first === undefined) throw new Error("no container");
  expect(shouldContainerBeRestarted(of, first, exited("a", exitCode))).toBe(wanted);
  expect(shouldContainerBeRestarted(of, first, undefined)).toBe(true);
  expect(shouldContainerBeRestarted(of, first, record("a"))).toBe(false);
  expect(shouldContainerBeRestarted(of, first, record("a", { state: "created" }))).toBe(true);
});

// kubelet: TestCheckContainerStateTransition
test.each([
  ["Always", 0, []],
  ["OnFailure", 1, []],
  ["OnFailure", 0, ["a"]],
  ["Never", 0, ["a"]],
  ["Never", 1, ["a"]],
] as const)("%s, ended with %i, then running: refused %j, the others go on", (policy, exitCode, refused) => {
  const olds = [status("a", ended(exitCode)), status("b", waiting())];
  const news = { init: [], regular: [status("a", running), status("b", running)] };
  const legal = computeLegalStatuses(pod(policy, ["a", "b"]), news, {
    phase: "Running",
    containerStatuses: olds,
  });
  expect(legal.refused).toEqual(refused);
  expect(legal.regular[0]).toBe(refused.length > 0 ? olds[0] : news.regular[0]);
  expect(legal.regular[1]).toBe(news.regular[1]);
});

test("a sidecar may run again whatever the pod's policy", () => {
  const olds = [status("s", ended(0))];
  const news = { init: [status("s", running)], regular: [] };
  const of = pod("Never", ["a"], [sidecar("s")]);
  expect(computeLegalStatuses(of, news, { phase: "Running", initContainerStatuses: olds }).refused).toEqual(
    [],
  );
});

test("a broken time of the runtime breaks nothing", () => {
  const answer = runtime([record("a", { startedAt: Number.NaN })], [sandbox("s")]);
  expect(only(convert(pod("Always"), answer))?.state.running?.startedAt).toBe("1970-01-01T00:00:00Z");
});
