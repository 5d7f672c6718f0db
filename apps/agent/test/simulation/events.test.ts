// SPDX-License-Identifier: Apache-2.0

/** Events are hints: lost, doubled and out of order they change how soon something is seen, and nothing else. */
import { describe, expect, it } from "vitest";
import type { Fault, FakeRuntimeOptions } from "@holdfast/cri-fake";
import { Crowd, podName } from "./crowd.ts";
import { container, manifest } from "./pods.ts";

const PODS = 12;
/** The longest pause between two relists while events are trusted, and what a restart takes after that. */
const RELIST_MS = 10_000;
const REACTION_MS = 500;

const EVENTS = { method: "containerdEvents" } as const;
const ACTIONS = [
  "RunPodSandbox",
  "StopPodSandbox",
  "RemovePodSandbox",
  "CreateContainer",
  "StartContainer",
  "StopContainer",
  "RemoveContainer",
  "PullImage",
  "ExecSync",
];

async function crowd(faults: readonly Fault[], fake: Partial<FakeRuntimeOptions> = {}): Promise<Crowd> {
  const node = new Crowd(PODS, { fake });
  for (const fault of faults) node.runtime.addFault(fault);
  await node.up();
  return node;
}

describe("where events come from is chosen by what the runtime answers", () => {
  it.each<readonly [string, Partial<FakeRuntimeOptions>, string, number]>([
    ["containerd", { containerd: "1.6" }, "containerd", 200],
    ["cri-o", { missing: ["containerdEvents"], runtimeName: "cri-o" }, "cri", 200],
    [
      "without-events",
      { missing: ["containerdEvents", "GetContainerEvents"], runtimeName: "without-events" },
      "none",
      1000 + REACTION_MS,
    ],
  ])("%s", async (name, fake, service, limitMs) => {
    const node = await crowd([], fake);
    const schemes = async (): Promise<unknown> => {
      const ids = (await node.pods()).map(({ status }) => status.containerStatuses?.[0]?.containerID ?? "");
      return [...new Set(ids.map((id) => id.replace(/:.*/, "")))];
    };
    for (let round = 0; round < 2; round++) {
      const { pleg } = (await node.snapshot()) as { pleg?: { events?: { service?: string } } };
      expect(pleg?.events?.service ?? "none").toBe(service);
      // A second restart of a pod would wait for its back-off.
      for (let number = round; number < PODS; number += 2) {
        expect(await node.restart(podName(number))).toBeLessThanOrEqual(limitMs);
        await node.advance(3000);
      }
      // The same after a reconnect.
      node.runtime.crash();
      await node.advance(5000);
      expect(await schemes()).toEqual([name]);
      node.runtime.restart();
      await node.advance(20_000);
      expect(await schemes()).toEqual([name]);
    }
    expect(node.runtime.violations).toEqual([]);
    await node.stop();
    expect(node.troubles).toEqual([]);
  });
});

describe("every event is lost", () => {
  it("what happens is seen within one relist period", async () => {
    const node = await crowd([{ match: EVENTS, lose: true }]);
    for (let number = 0; number < PODS; number++) {
      expect(await node.restart(podName(number))).toBeLessThanOrEqual(RELIST_MS + REACTION_MS);
      await node.advance(20_000);
    }
    expect(node.runtime.violations).toEqual([]);
    expect((await node.nodeText()).ready).toBe("True");
    await node.stop();
    expect(node.troubles).toEqual([]);
  });

  it("a stream that breaks at the worst moment costs no more", async () => {
    const node = await crowd([]);
    for (let number = 0; number < PODS; number++) {
      node.runtime.breakStreams();
      expect(await node.restart(podName(number))).toBeLessThanOrEqual(1000 + REACTION_MS);
      await node.advance(5000);
    }
    await node.stop();
    expect(node.troubles).toEqual([]);
  });
});

/** A bit of everything, at the same virtual times. Returns what was done on the runtime and what is there in the end. */
async function life(faults: readonly Fault[]): Promise<{ readonly actions: string; readonly end: string }> {
  const node = await crowd(faults);
  node.manifests.write(
    "job.json",
    manifest("job", { restartPolicy: "OnFailure", containers: [container("main", { exitAfterMs: 3000 })] }),
  );
  node.manifests.write(
    "chain.json",
    manifest("chain", {
      initContainers: [container("a", { exitAfterMs: 50 }), container("b", { exitAfterMs: 50 })],
      containers: [container("main"), container("side")],
    }),
  );
  node.manifests.write(
    "crash.json",
    manifest("crash", { containers: [container("main", { exitAfterMs: 700, exitCode: 1 })] }),
  );
  await node.advance(20_000);
  for (let number = 0; number < 6; number++) {
    node.runtime.kill(node.containerOf(podName(number))?.id ?? "");
    await node.advance(4000);
  }
  node.manifests.write(`${podName(8)}.json`, manifest(podName(8), {}, 2));
  node.manifests.remove(`${podName(9)}.json`);
  const sandbox = node.runtime.sandboxes().find((one) => one.podName.startsWith(podName(10)));
  node.runtime.killSandbox(sandbox?.id ?? "");
  await node.advance(60_000);
  const actions = ACTIONS.map((method) => `${method} ${node.runtime.calls[method] ?? 0}`).join("\n");
  const statuses = (await node.pods()).map(({ metadata, status }) => {
    const counts = status.containerStatuses?.map(({ name, restartCount }) => `${name} ${restartCount}`) ?? [];
    return `${metadata.name} ${status.phase} ${counts.join()}`;
  });
  expect(node.runtime.violations).toEqual([]);
  await node.stop();
  expect(node.troubles).toEqual([]);
  return { actions, end: statuses.sort().join("\n") };
}

describe("every event is doubled and they overtake each other", () => {
  it.each<readonly [string, readonly Fault[]]>([
    ["doubled", [{ match: EVENTS, duplicate: true }]],
    [
      "doubled, every third later by 400 ms",
      [
        { match: EVENTS, duplicate: true },
        { match: { ...EVENTS, probability: 0.33 }, delayMs: 400 },
      ],
    ],
    [
      "doubled, half of them later by 3 s",
      [
        { match: EVENTS, duplicate: true },
        { match: { ...EVENTS, probability: 0.5 }, delayMs: 3000 },
      ],
    ],
  ])("%s: the same final state and not one action more", async (_what, faults) => {
    const plain = await life([]);
    expect(await life(faults)).toEqual(plain);
  });
});
