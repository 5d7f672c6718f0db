// SPDX-License-Identifier: Apache-2.0

import type { LifecycleHandler, Pod } from "@holdfast/core/pod-types";
import { describe, expect, it } from "vitest";
import type { KillPodOptions } from "../../src/kuberuntime/sync-result.ts";
import { container, makePod, sidecar } from "./fixtures.ts";
import { Harness } from "./harness.ts";
import { criError } from "./scripted-runtime.ts";

const killed: KillPodOptions = { reason: "PodKilled", causes: [] };

async function up(pod: Pod): Promise<Harness> {
  const harness = new Harness();
  for (let round = 0; round < 3; round++) await harness.sync(pod);
  harness.calls();
  harness.runtime.requests.length = 0;
  return harness;
}

/** Container names and timeouts in the order of the stops. */
function stops(harness: Harness): string[] {
  return harness.runtime.requests
    .filter(({ method }) => method === "stopContainer")
    .map(({ request }) => {
      const { containerId, timeout } = request as { containerId: string; timeout: bigint };
      const found = harness.runtime.containers.find(({ id }) => id === containerId);
      return `${found?.config.metadata?.name} ${timeout}`;
    });
}

function withPreStop(preStop: LifecycleHandler, seconds: number): Pod {
  return makePod({
    spec: {
      containers: [container("foo1", { lifecycle: { preStop } })],
      terminationGracePeriodSeconds: seconds,
    },
  });
}

const withSidecars = makePod({
  spec: {
    initContainers: [sidecar("side1"), sidecar("side2")],
    containers: [container("main")],
    terminationGracePeriodSeconds: 30,
  },
});

describe("killPod", () => {
  // kubelet: TestKillPod
  it("stops every running container, then every sandbox, and removes none", async () => {
    const pod = makePod({ spec: { terminationGracePeriodSeconds: 30 } });
    const harness = await up(pod);
    harness.events();
    const result = await harness.manager.killPod(pod, harness.status(pod), { ...killed, causes: [7] });
    expect(result.error).toBeUndefined();
    expect(result.killed).toHaveLength(3);
    expect(stops(harness).toSorted()).toEqual(["foo1 30", "foo2 30", "foo3 30"]);
    expect(harness.calls().at(-1)).toBe("stopPodSandbox");
    expect(harness.runtime.sandboxes.map(({ ready }) => ready)).toEqual([false]);
    expect(harness.events().slice(0, 3)).toEqual([
      "ContainerKilling",
      "ContainerKilling",
      "ContainerKilling",
    ]);
    expect(harness.bus.recent().at(-1)?.causes).toEqual([7]);
  });

  it.each([
    ["an override", 5, 5],
    ["an override of nothing", 0, 2],
    ["none", undefined, 30],
  ])("grace with %s", async (_title, gracePeriodSeconds, expected) => {
    const pod = makePod({ spec: { containers: [container("foo1")], terminationGracePeriodSeconds: 30 } });
    const harness = await up(pod);
    await harness.manager.killPod(pod, harness.status(pod), {
      ...killed,
      ...(gracePeriodSeconds === undefined ? {} : { gracePeriodSeconds }),
    });
    expect(stops(harness)).toEqual([`foo1 ${expected}`]);
  });

  // kubelet: TestStopContainerWithNotFoundError
  it("a container that is gone is a success", async () => {
    const pod = makePod();
    const harness = await up(pod);
    harness.runtime.before.stopContainer = () => {
      throw criError("CRI_NOT_FOUND", "StopContainer");
    };
    expect((await harness.manager.killPod(pod, harness.status(pod), killed)).error).toBeUndefined();
  });

  it("sandboxes are stopped although a container could not be", async () => {
    const pod = makePod();
    const harness = await up(pod);
    harness.runtime.before.stopContainer = () => {
      throw criError("CRI_DEADLINE", "StopContainer");
    };
    const result = await harness.manager.killPod(pod, harness.status(pod), killed);
    expect(result).toMatchObject({ killed: [], stoppedSandboxes: ["sandbox-0"] });
    expect(result.error).toMatchObject({ reason: "KillContainerError", kind: "deadline" });
  });

  it("without the spec, grace and preStop are read from the annotations", async () => {
    const pod = withPreStop({ exec: { command: ["bye"] } }, 25);
    const harness = await up(pod);
    await harness.manager.killPod(undefined, harness.status(pod), killed);
    expect(harness.calls()).toEqual(["containerStatus", "execSync", "stopContainer", "stopPodSandbox"]);
    expect(stops(harness)).toEqual(["foo1 25"]);
  });

  it("its signal ends the wait, and it can be called again with less grace", async () => {
    const pod = makePod({ spec: { containers: [container("foo1")], terminationGracePeriodSeconds: 3600 } });
    const harness = await up(pod);
    harness.runtime.before.stopContainer = (request: { timeout: bigint }, options) =>
      request.timeout < 10n
        ? undefined
        : new Promise((_resolve, reject) => {
            options?.signal?.addEventListener("abort", () => reject(options.signal?.reason as Error));
          });
    const controller = new AbortController();
    const first = harness.manager.killPod(pod, harness.status(pod), { ...killed, signal: controller.signal });
    await harness.clock.settle();
    controller.abort(new Error("shorter"));
    await expect(first).rejects.toThrow("shorter");
    const second = await harness.manager.killPod(pod, harness.status(pod), {
      ...killed,
      gracePeriodSeconds: 1,
    });
    expect(second).toMatchObject({ error: undefined, stoppedSandboxes: ["sandbox-0"] });
    expect(stops(harness)).toEqual(["foo1 3600", "foo1 2"]);
  });
});

describe("preStop", () => {
  // kubelet: TestLifeCycleHook PreStop-CMDExec
  it("runs before the stop, and its time is taken from the grace", async () => {
    const pod = withPreStop({ exec: { command: ["bye"] } }, 30);
    const harness = await up(pod);
    harness.runtime.before.execSync = () => harness.clock.sleep(7900);
    const work = harness.manager.killPod(pod, harness.status(pod), killed);
    await harness.clock.advance(7900);
    await work;
    expect(harness.calls()).toEqual(["execSync", "stopContainer", "stopPodSandbox"]);
    expect(stops(harness)).toEqual(["foo1 23"]);
  });

  // kubelet: TestLifeCycleHook PreStop-NoTimeToRun
  it("has no time to run with a grace of 0", async () => {
    const pod = withPreStop({ exec: { command: ["bye"] } }, 30);
    const harness = await up(pod);
    await harness.manager.killPod(pod, harness.status(pod), { ...killed, gracePeriodSeconds: 0 });
    expect(harness.calls()).toEqual(["stopContainer", "stopPodSandbox"]);
  });

  it("sleeps, at most its grace", async () => {
    const pod = withPreStop({ sleep: { seconds: 100 } }, 10);
    const harness = await up(pod);
    const work = harness.manager.killPod(pod, harness.status(pod), killed);
    await harness.clock.advance(9999);
    expect(stops(harness)).toEqual([]);
    await harness.clock.advance(1);
    await work;
    expect(stops(harness)).toEqual(["foo1 2"]);
  });

  it("gets a deadline of its grace; its failure is told and ignored", async () => {
    const pod = withPreStop({ exec: { command: ["bye"] } }, 30);
    const harness = await up(pod);
    let deadlineMs: number | undefined;
    harness.runtime.before.execSync = (_request, options) => {
      deadlineMs = options?.deadlineMs;
      throw criError("CRI_UNKNOWN", "ExecSync", "secret output");
    };
    const result = await harness.manager.killPod(pod, harness.status(pod), killed);
    expect(deadlineMs).toBe(30_000);
    expect(result.error).toBeUndefined();
    expect(harness.dataOf("HookFailed")).toMatchObject({
      reason: "FailedPreStopHook",
      message: "PreStopHook failed",
    });
    expect(JSON.stringify(harness.bus.recent())).not.toContain("secret");
  });
});

describe("sidecars", () => {
  // kubelet: TestTerminationOrderingSidecarStopAfterMain, TestTerminationOrderingSidecarsInReverseOrder
  it("stop after the main containers, the last one first", async () => {
    const harness = await up(withSidecars);
    harness.runtime.before.stopContainer = () => harness.clock.sleep(3000);
    const work = harness.manager.killPod(withSidecars, harness.status(withSidecars), killed);
    await harness.clock.advance(9000);
    await work;
    expect(stops(harness)).toEqual(["main 30", "side2 27", "side1 24"]);
    expect(harness.clock.waiting).toBe(0);
  });

  // kubelet: TestTerminationOrderingObeysGrace
  it("wait no longer than their grace", async () => {
    const harness = await up(withSidecars);
    harness.runtime.before.stopContainer = (request: { timeout: bigint }) =>
      request.timeout === 30n ? harness.clock.sleep(100_000) : undefined;
    const work = harness.manager.killPod(withSidecars, harness.status(withSidecars), killed);
    await harness.clock.advance(30_000);
    expect(stops(harness).toSorted()).toEqual(["main 30", "side1 2", "side2 2"]);
    await harness.clock.advance(70_000);
    await work;
  });

  it("run their preStop hooks at once", async () => {
    const pod = makePod({
      spec: {
        initContainers: [sidecar("side", { lifecycle: { preStop: { exec: { command: ["bye"] } } } })],
        containers: [container("main")],
        terminationGracePeriodSeconds: 30,
      },
    });
    const harness = await up(pod);
    harness.runtime.before.stopContainer = () => harness.clock.sleep(5000);
    const work = harness.manager.killPod(pod, harness.status(pod), killed);
    await harness.clock.settle();
    expect(harness.calls()).toContain("execSync");
    await harness.clock.advance(10_000);
    await work;
  });
});

describe("removePod", () => {
  it("removes sandboxes with their containers, logs and links", async () => {
    const pod = makePod({ spec: { containers: [container("foo1")] } });
    const harness = await up(pod);
    harness.files.contents.set("/var/log/pods/default_web_uid-1/foo1/0.log", "x");
    const links = "/var/log/containers/web_default_";
    harness.files.contents.set(`${links}unknown-1.log`, "-> /var/log/pods/default_web_uid-1/unknown/0.log");
    // Of a pod that has the name by now, and of nobody.
    const others = [`${links}foo1-2.log`, `${links}foo1-3.log`];
    harness.files.contents.set(others[0] ?? "", "-> /var/log/pods/default_web_uid-2/foo1/0.log");
    harness.files.contents.set(others[1] ?? "", "a file");
    await harness.manager.killPod(pod, harness.status(pod), killed);
    harness.calls();
    await harness.manager.removePod(harness.status(pod), { causes: [] });
    expect(harness.calls()).toEqual(["removePodSandbox"]);
    expect(harness.runtime.containers).toEqual([]);
    const left = [...harness.files.contents.keys(), ...harness.files.folders];
    expect(left.filter((path) => path.startsWith("/var/log"))).toEqual(others);
    // Once more is fine.
    await harness.manager.removePod(harness.status(pod), { causes: [] });
  });

  it("refuses what still runs, and keeps logs when told", async () => {
    const pod = makePod();
    const harness = await up(pod);
    await expect(harness.manager.removePod(harness.status(pod), { causes: [] })).rejects.toThrow(
      "still runs",
    );
    harness.files.contents.set("/var/log/pods/default_web_uid-1/foo1/0.log", "x");
    await harness.manager.killPod(pod, harness.status(pod), killed);
    await harness.manager.removePod(harness.status(pod), { causes: [], keepLogs: true });
    expect(harness.files.contents.has("/var/log/pods/default_web_uid-1/foo1/0.log")).toBe(true);
  });

  it("tries everything and rejects with the first failure", async () => {
    const pod = makePod();
    const harness = await up(pod);
    await harness.manager.killPod(pod, harness.status(pod), killed);
    harness.runtime.before.removePodSandbox = () => {
      throw criError("CRI_UNKNOWN", "RemovePodSandbox", "busy");
    };
    await expect(harness.manager.removePod(harness.status(pod), { causes: [] })).rejects.toThrow("busy");
    expect(harness.runtime.containers).toEqual([]);
  });
});
