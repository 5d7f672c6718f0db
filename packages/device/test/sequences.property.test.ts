// SPDX-License-Identifier: Apache-2.0

/**
 * Random stories of one node: pods come and end, devices turn bad and good, the plugin, the agent, both and the machine go and come back, in every order.
 * After each step: no device is two pods', none is lost, no container that runs has lost what it was started with.
 */
import type { Pod } from "@holdfast/core/pod-types";
import type { DeviceManager } from "@holdfast/device";
import fc from "fast-check";
import { expect, test } from "vitest";
import { bad, FakePlugin, good, idsOf, RESOURCE, TestNode } from "./fake-plugin.ts";

const DEVICES = 8;

type Step =
  | { readonly do: "admit"; readonly count: number; readonly init: boolean }
  | { readonly do: "end" | "restart" | "bad" | "good"; readonly which: number }
  | { readonly do: "killPlugin" | "startPlugin" | "killAgent" | "startAgent" | "both" | "reboot" | "crash" }
  | { readonly do: "wait"; readonly ms: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant("admit" as const),
      count: fc.integer({ min: 1, max: 4 }),
      init: fc.boolean(),
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constantFrom("end" as const, "restart" as const, "bad" as const, "good" as const),
      which: fc.nat(DEVICES - 1),
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constantFrom(
        ...(["killPlugin", "startPlugin", "killAgent", "startAgent", "both", "reboot", "crash"] as const),
      ),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant("wait" as const),
      ms: fc.constantFrom(1000, 61_000, 301_000),
    }),
  },
);

/** A checkpoint keeps ids by NUMA node, not in their order. */
const sorted = (ids: readonly string[]): readonly string[] => ids.toSorted();

/** The node as it should be. */
class Story {
  readonly node = new TestNode();
  readonly healthy = Array.from({ length: DEVICES }, () => true);
  /** Pods that were admitted and run, with what they were started with. */
  readonly running = new Map<Pod, readonly string[]>();
  /** Pods that want to run and do not (yet). */
  readonly waiting = new Set<Pod>();
  agent: DeviceManager | undefined;
  plugin: FakePlugin | undefined;
  /** A quiet plugin registers once in its life, and then only looks at its own socket. */
  readonly #isQuiet: boolean;
  #sockets = 0;
  #names = 0;

  constructor(isQuiet: boolean) {
    this.#isQuiet = isQuiet;
  }

  list() {
    return this.healthy.map((isGood, n) => (isGood ? good(`d${n}`, n % 2) : bad(`d${n}`, n % 2)));
  }

  async startAgent(): Promise<void> {
    if (this.agent !== undefined) return;
    // No hysteresis: whether a device can be given is then what the plugin says.
    this.agent = await this.node.agent({ hysteresis: { flaps: 1000 }, machineNodes: [0, 1] });
    if (this.plugin === undefined) return;
    if (this.plugin.identity === undefined) await this.#plug(this.agent, this.plugin);
    else await this.node.clock.advance(3000);
  }

  async #plug(agent: DeviceManager, plugin: FakePlugin): Promise<void> {
    if (this.#isQuiet) plugin.identity = `socket-${this.#sockets++}`;
    await this.node.plug(agent, plugin);
  }

  async startPlugin(): Promise<void> {
    if (this.plugin !== undefined) return;
    this.plugin = new FakePlugin(this.list());
    this.plugin.options = { preStartRequired: false, getPreferredAllocationAvailable: this.#names % 2 === 0 };
    if (this.agent !== undefined) await this.#plug(this.agent, this.plugin);
  }

  async killAgent(): Promise<void> {
    await this.agent?.stop();
    this.agent = undefined;
  }

  async killPlugin(): Promise<void> {
    this.plugin?.kill();
    this.plugin = undefined;
    this.node.plugins.clear();
    await this.node.clock.settle();
  }

  /** What runs stops running; it is wanted again. */
  async reboot(): Promise<void> {
    await this.killAgent();
    await this.killPlugin();
    this.node.bootId += "+";
    this.node.running.clear();
    for (const pod of this.running.keys()) this.waiting.add(pod);
    this.running.clear();
  }

  newPod(count: number, init: boolean): Pod {
    const name = `p${this.#names++}`;
    const app = { name: "app", count };
    return this.node.pod(name, init ? [{ name: "init", kind: "init", count }, app] : [app]);
  }

  async tryToStart(pod: Pod): Promise<void> {
    const { agent } = this;
    this.waiting.add(pod);
    if (agent === undefined) return;
    // What ended while there was no agent is found out by who is active.
    agent.collectGarbage();
    const free = this.free(agent, pod);
    const held = idsOf(agent, pod, "app");
    const { kind } = await agent.admit(pod);
    const count = Number(pod.spec.containers[0]?.resources?.limits?.[RESOURCE]);
    if (this.plugin !== undefined && held.length === 0)
      expect(kind, `${count} of ${free.length} free`).toBe(count <= free.length ? "admitted" : "refused");
    if (kind !== "admitted") return;
    const ids = await this.startContainer(agent, pod);
    this.waiting.delete(pod);
    this.running.set(pod, ids);
    this.node.running.add(`${pod.metadata.uid}/app`);
  }

  async startContainer(agent: DeviceManager, pod: Pod): Promise<readonly string[]> {
    const { envs } = await agent.containerDevices(pod, pod.spec.containers[0]!);
    const ids = envs[0]?.value.split(",") ?? [];
    expect(sorted(ids)).toEqual(sorted(idsOf(agent, pod, "app")));
    return ids;
  }

  /** Good devices that nobody else holds. */
  free(agent: DeviceManager, pod: Pod): readonly string[] {
    const owners = agent.records.owners(RESOURCE);
    return this.list()
      .filter(
        ({ id, health }) => health === "Healthy" && [undefined, pod.metadata.uid].includes(owners.get(id)),
      )
      .map(({ id }) => id);
  }

  end(pod: Pod): void {
    this.running.delete(pod);
    this.waiting.delete(pod);
    this.node.running.delete(`${pod.metadata.uid}/app`);
    this.node.active?.delete(pod.metadata.uid);
    // Without an agent the end is found out later, by who is active.
    this.agent?.release(pod.metadata.uid);
  }

  check(): void {
    const { agent } = this;
    if (agent === undefined) return;
    const owners = new Map<string, string>();
    for (const { podUid, ids, resource } of agent.records.all())
      for (const id of ids) {
        expect(owners.get(id) ?? podUid, `${id} is given twice`).toBe(podUid);
        owners.set(id, podUid);
        expect(agent.records.owners(resource).get(id)).toBe(podUid);
      }
    expect(agent.records.owners(RESOURCE).size, "an id is held by nobody").toBe(owners.size);
    for (const [pod, ids] of this.running)
      expect(sorted(idsOf(agent, pod, "app")), "a running container lost its devices").toEqual(sorted(ids));
    if (this.plugin === undefined) return;
    const allocatable = this.healthy.filter(Boolean).length;
    expect(agent.resources()).toEqual([{ name: RESOURCE, capacity: DEVICES, allocatable }]);
  }
}

async function take(story: Story, next: Step): Promise<void> {
  const pods = [...story.running.keys()];
  switch (next.do) {
    case "admit":
      return story.tryToStart(story.newPod(next.count, next.init));
    case "end": {
      const pod = pods[next.which % Math.max(pods.length, 1)];
      if (pod !== undefined) story.end(pod);
      return;
    }
    case "restart": {
      const pod = pods[next.which % Math.max(pods.length, 1)];
      const { agent } = story;
      if (pod === undefined || agent === undefined) return;
      expect(sorted(await story.startContainer(agent, pod))).toEqual(sorted(story.running.get(pod) ?? []));
      return;
    }
    case "bad":
    case "good":
      story.healthy[next.which] = next.do === "good";
      story.plugin?.update(story.list());
      return;
    case "killPlugin":
      return story.killPlugin();
    case "startPlugin":
      return story.startPlugin();
    case "killAgent":
      return story.killAgent();
    case "startAgent":
      return story.startAgent();
    case "both":
      await story.killAgent();
      return story.killPlugin();
    case "reboot":
      return story.reboot();
    case "crash":
      return crashWhileAllocating(story);
    case "wait":
      return story.node.clock.advance(next.ms);
  }
}

/** The agent dies while a plugin is asked: nothing was started, nothing may be held. */
async function crashWhileAllocating(story: Story): Promise<void> {
  const { agent, plugin } = story;
  if (agent === undefined || plugin === undefined) return;
  const { onAllocate } = plugin;
  plugin.onAllocate = () => new Promise(() => {});
  const pod = story.newPod(1, false);
  const admission = agent.admit(pod).catch(() => undefined);
  await story.node.clock.settle();
  await story.killAgent();
  await admission;
  plugin.onAllocate = onAllocate;
  story.waiting.add(pod);
}

test("no device twice, none lost, no running container harmed, in any order of events", async () => {
  const seed = process.env["HOLDFAST_TEST_SEED"];
  await fc.assert(
    fc.asyncProperty(
      fc.boolean(),
      fc.array(step, { minLength: 5, maxLength: 40 }),
      async (isQuiet, steps) => {
        const story = new Story(isQuiet);
        await story.startAgent();
        await story.startPlugin();
        for (const next of steps) {
          await take(story, next);
          await story.node.clock.settle();
          story.check();
          if (story.agent !== undefined && next.do !== "admit")
            for (const pod of [...story.waiting].slice(0, 3)) await story.tryToStart(pod);
          story.check();
        }
        // In the end everything is free again, and can be given.
        for (const pod of [...story.running.keys(), ...story.waiting]) story.end(pod);
        story.healthy.fill(true);
        story.plugin?.update(story.list());
        await story.startAgent();
        await story.startPlugin();
        await story.node.clock.settle();
        const all = story.newPod(DEVICES, true);
        await story.tryToStart(all);
        expect(story.running.get(all)).toHaveLength(DEVICES);
        await story.killAgent();
        expect(story.plugin?.open).toBe(0);
      },
    ),
    { numRuns: 150, ...(seed === undefined ? {} : { seed: Number(seed) }) },
  );
}, 60_000);
