// SPDX-License-Identifier: Apache-2.0

import type { RuntimePodStatus } from "@holdfast/core/runtime-status";
import { describe, expect, it } from "vitest";
import { container, makePod, sidecar } from "./fixtures.ts";
import { Harness } from "./harness.ts";
import { criError } from "./scripted-runtime.ts";

const START = ["ContainerCreating", "ContainerCreated", "ContainerStarting", "ContainerStarted"];
const single = makePod({ spec: { containers: [container("foo1")], terminationGracePeriodSeconds: 30 } });

function unconfirmed(status: RuntimePodStatus): RuntimePodStatus {
  return {
    ...status,
    containers: status.containers.map((one, index) =>
      index === 0 ? { ...one, exitUnconfirmed: true } : one,
    ),
  };
}

describe("syncPod", () => {
  it("brings up a new pod, with an intent before each call", async () => {
    const harness = new Harness();
    const result = await harness.sync(single, { causes: [42] });
    expect(result.error).toBeUndefined();
    expect(result).toMatchObject({ acted: true, ips: ["10.0.0.1"], comeBackAt: undefined });
    expect(result.started).toMatchObject([{ name: "foo1", restartCount: 0 }]);
    expect(harness.calls()).toEqual([
      "runPodSandbox",
      "podSandboxStatus",
      "imageStatus",
      "createContainer",
      "startContainer",
    ]);
    expect(harness.events()).toEqual(["SandboxCreating", "SandboxCreated", "Pulled", ...START]);
    for (const event of harness.bus.recent()) {
      expect(event.causes).toContain(42);
      expect(event.subject).toMatchObject({ podUid: "uid-1", pod: "default/web" });
    }
    expect(harness.clock.waiting).toBe(0);
    // What is up needs nothing.
    expect(await harness.sync(single)).toMatchObject({ acted: false, error: undefined });
    expect(harness.calls()).toEqual([]);
  });

  it("restarts on an unconfirmed exit with a create and a start, and nothing before them", async () => {
    const harness = new Harness();
    await harness.sync(single);
    for (const round of [1, 2, 3]) {
      await harness.clock.advance(700_000);
      harness.runtime.exit("foo1", 137, harness.clock.now());
      harness.calls();
      harness.files.operations.length = 0;
      const result = await harness.sync(single, { status: unconfirmed(harness.status(single)) });
      expect(result.started).toMatchObject([{ restartCount: round }]);
      const tidied = round > 1 ? ["removeContainer"] : [];
      expect(harness.calls()).toEqual(["createContainer", "startContainer", ...tidied, "imageStatus"]);
      expect(harness.files.operations).toHaveLength(2);
    }
    // One dead container is kept.
    expect(harness.runtime.containers.map(({ state }) => state)).toEqual([2, 1]);
  });

  it("waits in crash-loop back-off, tells until when, and says so", async () => {
    const harness = new Harness();
    await harness.sync(single);
    for (const wait of [0, 10_000, 20_000]) {
      harness.runtime.exit("foo1", 1, harness.clock.now());
      harness.calls();
      if (wait > 0) {
        const result = await harness.sync(single);
        expect(result).toMatchObject({ acted: false, error: undefined });
        expect(result.comeBackAt).toBe(harness.clock.monotonic() + wait);
        expect(result.waiting.get("foo1")).toEqual({
          reason: "CrashLoopBackOff",
          message: `back-off ${wait / 1000}s restarting failed container=foo1 pod=web_default(uid-1)`,
          nextAttemptAt: result.comeBackAt,
        });
        expect(harness.calls()).toEqual([]);
        expect(harness.dataOf("BackOff")).toMatchObject({ eventType: "Warning", reason: "BackOff" });
        await harness.clock.advance(wait);
      }
      expect((await harness.sync(single)).started).toHaveLength(1);
    }
  });

  it("a dead sandbox is stopped and made anew, init containers run again", async () => {
    const harness = new Harness();
    const pod = makePod({ spec: { initContainers: [container("init")], containers: [container("foo1")] } });
    await harness.sync(pod);
    harness.runtime.exit("init", 0, harness.clock.now());
    await harness.sync(pod);
    expect(harness.status(pod).containers.map(({ name }) => name)).toEqual(["foo1", "init"]);
    for (const one of harness.runtime.sandboxes) one.ready = false;
    harness.calls();
    harness.events();
    const result = await harness.sync(pod);
    expect(result.error).toBeUndefined();
    expect(harness.calls().slice(0, 4)).toEqual([
      "stopContainer",
      "stopPodSandbox",
      "removeContainer",
      "runPodSandbox",
    ]);
    expect(harness.events().slice(0, 5)).toEqual([
      "SandboxChanged",
      "ContainerKilling",
      "ContainerKilled",
      "SandboxStopping",
      "ContainerRemoving",
    ]);
    expect(harness.status(pod).sandboxes.map(({ attempt, state }) => [attempt, state])).toEqual([
      [1, "ready"],
      [0, "notready"],
    ]);
    expect(result.started).toMatchObject([{ name: "init", restartCount: 1 }]);
  });

  it("a failing init container holds up the rest; a failing sidecar and a failing container do not", async () => {
    const fail = { image: "absent:1", imagePullPolicy: "Never" } as const;
    const run = async (init: ReturnType<typeof container>): Promise<string[]> => {
      const harness = new Harness();
      const pod = makePod({
        spec: { initContainers: [init], containers: [container("a", fail), container("b")] },
      });
      const first = await harness.sync(pod);
      return [...first.waiting.keys(), ...first.started.map(({ name }) => name)];
    };
    expect(await run(container("init", fail))).toEqual(["init"]);
    expect(await run(sidecar("init"))).toEqual(["init"]);
    const harness = new Harness();
    const pod = makePod({ spec: { containers: [container("a", fail), container("b")] } });
    const result = await harness.sync(pod);
    expect(result.started.map(({ name }) => name)).toEqual(["b"]);
    expect(result.waiting.get("a")?.reason).toBe("ErrImageNeverPull");
    expect(result.error).toMatchObject({ reason: "ErrImageNeverPull" });
  });

  it.each([
    ["runPodSandbox", "CreatePodSandboxError", "SandboxFailed", "FailedCreatePodSandBox"],
    ["podSandboxStatus", "CreatePodSandboxError", "SandboxFailed", "FailedPodSandBoxStatus"],
    ["imageStatus", "ImageInspectError", "ContainerFailed", "Failed"],
    ["createContainer", "CreateContainerError", "ContainerFailed", "Failed"],
    ["startContainer", "RunContainerError", "ContainerFailed", "Failed"],
  ] as const)("%s fails: %s", async (method, reason, event, eventReason) => {
    const harness = new Harness();
    harness.runtime.before[method] = () => {
      throw criError("CRI_UNKNOWN", method, "boom");
    };
    const result = await harness.sync(single);
    expect(result.error).toMatchObject({ reason, kind: "retryable" });
    expect(result.error?.message).toContain("boom");
    expect(harness.dataOf(event)).toMatchObject({ eventType: "Warning", reason: eventReason });
    expect(harness.limiter.held).toBe(0);
    expect(harness.clock.waiting).toBe(0);
  });

  it.each([
    ["the mount has no volume", { volumeMounts: [{ name: "gone", mountPath: "/x" }] }],
    ["the container must not be root", { securityContext: { runAsNonRoot: true } }],
    ["the field is none", { env: [{ name: "A", valueFrom: { fieldRef: { fieldPath: "spec.nope" } } }] }],
  ])("CreateContainerConfigError when %s", async (_title, more) => {
    const harness = new Harness();
    const result = await harness.sync(makePod({ spec: { containers: [container("foo1", more)] } }));
    expect(result.waiting.get("foo1")?.reason).toBe("CreateContainerConfigError");
    expect(harness.runtime.containers).toEqual([]);
  });

  it("kills and restarts a container that failed its liveness probe", async () => {
    const harness = new Harness();
    const { started } = await harness.sync(single);
    harness.liveness.set(started[0]?.containerId ?? "", "failure");
    harness.calls();
    expect(await harness.sync(single)).toMatchObject({ acted: true, error: undefined });
    expect(harness.calls().slice(0, 3)).toEqual(["stopContainer", "createContainer", "startContainer"]);
    expect(harness.dataOf("ContainerKilling")).toMatchObject({
      killReason: "LivenessProbe",
      gracePeriodSeconds: 30,
      message: "Container foo1 failed liveness probe, will be restarted",
    });
  });

  it("a failed kill ends the sync with KillContainerError", async () => {
    const harness = new Harness();
    const { started } = await harness.sync(single);
    harness.liveness.set(started[0]?.containerId ?? "", "failure");
    harness.runtime.before.stopContainer = () => {
      throw criError("CRI_UNKNOWN", "StopContainer", "stuck");
    };
    harness.calls();
    expect((await harness.sync(single)).error).toMatchObject({ reason: "KillContainerError" });
    expect(harness.calls()).toEqual(["stopContainer"]);
  });

  // kubelet: TestLifeCycleHook PostStart-CmdExe
  it("a failed postStart hook kills the container", async () => {
    const harness = new Harness();
    const pod = makePod({
      spec: {
        containers: [container("foo1", { lifecycle: { postStart: { exec: { command: ["secret"] } } } })],
        terminationGracePeriodSeconds: 30,
      },
    });
    harness.runtime.before.execSync = () => {
      throw criError("CRI_UNKNOWN", "ExecSync", "no such file");
    };
    const result = await harness.sync(pod);
    expect(result.waiting.get("foo1")?.reason).toBe("PostStartHookError");
    expect(harness.dataOf("HookFailed")).toMatchObject({
      reason: "FailedPostStartHook",
      message: "PostStartHook failed",
    });
    expect(harness.runtime.containers.map(({ state }) => state)).toEqual([2]);
  });

  it("is given up on its signal: nothing more is started", async () => {
    const harness = new Harness();
    const controller = new AbortController();
    harness.runtime.after.createContainer = () => controller.abort(new Error("terminating"));
    const result = await harness.sync(makePod(), { signal: controller.signal });
    expect(result.error).toMatchObject({ kind: "cancelled" });
    expect(harness.calls()).not.toContain("startContainer");
    expect(harness.limiter.held).toBe(0);
    expect(harness.clock.waiting).toBe(0);
  });

  it("a call that hangs is let go on for 10 s after the signal, then given up", async () => {
    const harness = new Harness();
    const controller = new AbortController();
    harness.runtime.before.runPodSandbox = (_request, options) =>
      new Promise((_resolve, reject) => {
        options?.signal?.addEventListener("abort", () => reject(options.signal?.reason as Error));
      });
    let ended = false;
    const work = harness.sync(single, { signal: controller.signal }).finally(() => (ended = true));
    await harness.clock.advance(60_000);
    controller.abort(new Error("terminating"));
    await harness.clock.advance(9000);
    expect(ended).toBe(false);
    await harness.clock.advance(1000);
    expect((await work).error).toMatchObject({ kind: "cancelled" });
    expect(harness.limiter.held).toBe(0);
  });
});

describe("a create that may have happened", () => {
  it.each(["CRI_DEADLINE", "CRI_NAME_RESERVED"] as const)("a container is adopted after %s", async (code) => {
    const harness = new Harness();
    let first = true;
    harness.runtime.after.createContainer = () => {
      if (!first) return;
      first = false;
      throw criError(code, "CreateContainer");
    };
    const result = await harness.sync(single);
    expect(result.error).toBeUndefined();
    expect(harness.runtime.containers.map(({ state }) => state)).toEqual([1]);
    expect(harness.dataOf("ContainerCreated")).toMatchObject({ adopted: true });
    expect(result.started).toMatchObject([{ restartCount: 0 }]);
  });

  it("a sandbox is adopted after a deadline, and no second one is made", async () => {
    const harness = new Harness();
    harness.runtime.after.runPodSandbox = () => {
      throw criError("CRI_DEADLINE", "RunPodSandbox");
    };
    const result = await harness.sync(single);
    expect(result.error).toBeUndefined();
    expect(harness.runtime.sandboxes).toHaveLength(1);
    expect(harness.dataOf("SandboxCreated")).toMatchObject({ adopted: true, attempt: 0 });
  });

  it("a sandbox that has containers already is not taken: the status is out of date", async () => {
    const harness = new Harness();
    await harness.sync(single);
    harness.runtime.before.runPodSandbox = () => {
      throw criError("CRI_NAME_RESERVED", "RunPodSandbox");
    };
    const empty = { ...harness.status(single), sandboxes: [], containers: [] };
    expect((await harness.sync(single, { status: empty })).error).toMatchObject({ kind: "retryable" });
    expect(harness.runtime.containers).toHaveLength(1);
  });

  it("nothing is found: the failure stands, and the next try has the same attempt", async () => {
    const harness = new Harness();
    harness.runtime.before.createContainer = () => {
      throw criError("CRI_DEADLINE", "CreateContainer");
    };
    expect((await harness.sync(single)).error).toMatchObject({
      reason: "CreateContainerError",
      kind: "deadline",
    });
    delete harness.runtime.before.createContainer;
    expect((await harness.sync(single)).started).toMatchObject([{ restartCount: 0 }]);
  });

  it("a dead left-over that holds the name is removed", async () => {
    const harness = new Harness();
    await harness.sync(single);
    const [left] = harness.runtime.containers;
    const before = harness.status(single);
    harness.runtime.exit("foo1", 1, harness.clock.now());
    let refused = 0;
    harness.runtime.before.createContainer = () => {
      if (harness.runtime.containers.includes(left as never) && refused++ < 5)
        throw criError("CRI_NAME_RESERVED", "CreateContainer");
    };
    // The cache has lost the record.
    const result = await harness.sync(single, { status: { ...before, containers: [] } });
    expect(result.error).toBeUndefined();
    expect(harness.runtime.containers).toHaveLength(1);
    expect(harness.runtime.containers).not.toContain(left);
  });

  it("a stranger's sandbox is never adopted, and the failure says whose it is and what to do", async () => {
    const harness = new Harness();
    const other = new Harness({ instanceId: "instance-2" });
    await other.sync(single);
    harness.runtime.sandboxes.push(...other.runtime.sandboxes);
    harness.runtime.before.runPodSandbox = () => {
      throw criError("CRI_NAME_RESERVED", "RunPodSandbox");
    };
    const empty = { ...harness.status(single), sandboxes: [] };
    const { error } = await harness.sync(single, { status: empty });
    expect(error).toMatchObject({ reason: "CreatePodSandboxError" });
    expect(error?.message).toContain("belongs to Holdfast instance instance-2, not to this one (instance-1)");
    expect(error?.message).toContain("crictl rmp --force");
    expect(harness.calls()).toEqual(["runPodSandbox", "listPodSandbox", "listPodSandbox"]);
  });
});
