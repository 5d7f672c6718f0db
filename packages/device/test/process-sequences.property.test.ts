// SPDX-License-Identifier: Apache-2.0

/**
 * The stories of sequences.property.test.ts with a plugin and an agent that are processes of their own, real sockets, a real checkpoint, and SIGKILL.
 * Few of them and longer ones: a process takes a third of a second to start. `HOLDFAST_TEST_SEED` repeats one.
 */
import process from "node:process";
import type { Pod } from "@holdfast/core/pod-types";
import type { DeviceAdmission } from "@holdfast/device";
import fc from "fast-check";
import { expect, test, vi } from "vitest";
import { makePod, RESOURCE } from "./fake-plugin.ts";
import { Child } from "./processes/child.ts";
import type { AgentCall, AgentState, Allocating, PluginCall, PodFacts } from "./processes/messages.ts";
import { newFolder } from "./sockets.ts";

const IDS = Array.from({ length: 8 }, (_, n) => `d${n}`);

/** What happens to a pod or a device: `which` says to whose. */
const HAPPENINGS = ["end", "restart", "bad", "good"] as const;
const TURNS = [
  "exhaust",
  "killPlugin",
  "startPlugin",
  "killAgent",
  "startAgent",
  "both",
  "reboot",
  "agentDiesAllocating",
  "pluginDiesAllocating",
] as const;

type Step =
  | { readonly do: "admit"; readonly count: number; readonly init: boolean }
  | { readonly do: (typeof HAPPENINGS)[number]; readonly which: number }
  | { readonly do: (typeof TURNS)[number] };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant("admit" as const),
      count: fc.integer({ min: 1, max: 4 }),
      init: fc.boolean(),
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constantFrom(...HAPPENINGS), which: fc.nat(IDS.length - 1) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constantFrom(...TURNS) }) },
);

const until = (check: () => Promise<void>): Promise<void> =>
  vi.waitFor(check, { timeout: 15_000, interval: 10 });

/** A checkpoint keeps ids by NUMA node, not in their order. */
const sorted = (ids: readonly string[]): readonly string[] => ids.toSorted();

/** The node as it should be. */
class Story implements AsyncDisposable {
  readonly #folder: string;
  readonly #isQuiet: boolean;
  readonly healthy: boolean[] = IDS.map(() => true);
  /** Pods that were admitted and run, with what they were started with. */
  readonly running = new Map<Pod, readonly string[]>();
  /** Pods that want to run and do not (yet). */
  readonly waiting = new Set<Pod>();
  agent: Child<AgentCall> | undefined;
  plugin: Child<PluginCall> | undefined;
  #boots = 1;
  #names = 0;
  #onAllocating: () => void = () => {};

  constructor(folder: string, isQuiet: boolean) {
    this.#folder = folder;
    this.#isQuiet = isQuiet;
  }

  #facts(): PodFacts {
    return {
      active: [...this.running.keys(), ...this.waiting].map(({ metadata }) => metadata.uid),
      running: [...this.running.keys()].map(({ metadata }) => `${metadata.uid}/app`),
    };
  }

  async tellAgent(): Promise<void> {
    await this.agent?.ask({ do: "facts", ...this.#facts() });
  }

  async startAgent(): Promise<void> {
    if (this.agent !== undefined) return;
    this.agent = new Child<AgentCall>("agent.ts");
    const bootId = `boot-${this.#boots}`;
    await this.agent.ask({ do: "start", folder: this.#folder, bootId, ...this.#facts() });
    await this.settle();
    // As a real one does with all that runs.
    for (const pod of this.running.keys())
      expect(await this.agent.ask({ do: "admit", pod }), "what runs is refused").toEqual({
        kind: "admitted",
      });
  }

  async startPlugin(): Promise<void> {
    if (this.plugin !== undefined) return;
    this.plugin = new Child<PluginCall>("plugin.ts", (said) => {
      if ((said as Partial<Allocating>).allocating !== undefined) this.#onAllocating();
    });
    const start = {
      do: "start",
      folder: this.#folder,
      healthy: this.healthy,
      isQuiet: this.#isQuiet,
    } as const;
    // Who registers once is busy with that until there is somebody; and may be killed over it.
    const started = this.plugin.ask(start).catch((error: Error) => {
      if (error.message !== "the process is gone") throw error;
    });
    if (this.agent !== undefined || !this.#isQuiet) await started;
    await this.settle();
  }

  async killAgent(): Promise<void> {
    await this.agent?.kill();
    this.agent = undefined;
  }

  async killPlugin(): Promise<void> {
    await this.plugin?.kill();
    this.plugin = undefined;
    await this.settle();
  }

  /** What runs stops running; it is wanted again. */
  async reboot(): Promise<void> {
    await this.killAgent();
    await this.killPlugin();
    this.#boots++;
    for (const pod of this.running.keys()) this.waiting.add(pod);
    this.running.clear();
  }

  async setHealth(which: number, isHealthy: boolean): Promise<void> {
    this.healthy[which] = isHealthy;
    await this.plugin?.ask({ do: "health", healthy: this.healthy });
    await this.settle();
  }

  /** Until the agent has heard of the plugin what there is to hear. */
  async settle(): Promise<void> {
    const good = this.plugin === undefined ? [] : IDS.filter((_, n) => this.healthy[n]);
    await until(async () => {
      const state = await this.state();
      if (state === undefined) return;
      expect(state.healthy).toEqual(good);
      expect(state.allocatable).toBe(good.length);
      if (this.plugin !== undefined) expect(state.capacity).toBe(IDS.length);
    });
  }

  state(): Promise<AgentState | undefined> {
    return this.agent?.ask<AgentState>({ do: "state" }) ?? Promise.resolve(undefined);
  }

  newPod(count: number, init: boolean): Pod {
    const app = { name: "app", count };
    const pod = makePod(`p${this.#names++}`, init ? [{ name: "init", kind: "init", count }, app] : [app]);
    this.waiting.add(pod);
    return pod;
  }

  async tryToStart(pod: Pod): Promise<DeviceAdmission["kind"] | undefined> {
    const { agent } = this;
    if (agent === undefined) return undefined;
    await this.tellAgent();
    const held = await this.held(pod);
    const free = await this.free();
    const count = Number(pod.spec.containers[0]?.resources?.limits?.[RESOURCE]);
    const { kind } = await agent.ask<DeviceAdmission>({ do: "admit", pod });
    if (held.length === 0) {
      if (this.plugin === undefined) expect(kind).not.toBe("admitted");
      else
        expect(kind, `${count} of ${free.length} free`).toBe(count <= free.length ? "admitted" : "refused");
    }
    if (kind !== "admitted") return kind;
    const ids = await this.startContainer(pod);
    // The plugin likes the highest numbers best; one without a word gives them as it lists them.
    const liked = this.#isQuiet ? free : free.toReversed();
    if (held.length === 0) expect(sorted(ids)).toEqual(sorted(liked.slice(0, count)));
    this.waiting.delete(pod);
    this.running.set(pod, ids);
    return kind;
  }

  async startContainer(pod: Pod): Promise<readonly string[]> {
    const answer = await this.agent?.ask<Record<"given" | "recorded", string[]>>({ do: "devices", pod });
    expect(sorted(answer?.given ?? [])).toEqual(sorted(answer?.recorded ?? []));
    return answer?.given ?? [];
  }

  async held({ metadata }: Pod): Promise<readonly string[]> {
    const records = (await this.state())?.records ?? [];
    return records
      .filter(({ podUid, container }) => podUid === metadata.uid && container === "app")
      .flatMap(({ ids }) => ids);
  }

  /** Good devices that nobody holds who still wants to run. */
  async free(): Promise<readonly string[]> {
    const state = await this.state();
    const active = this.#facts().active;
    const taken = (state?.records ?? []).flatMap(({ podUid, ids }) => (active.includes(podUid) ? ids : []));
    return (state?.healthy ?? []).filter((id) => !taken.includes(id));
  }

  async end(pod: Pod): Promise<void> {
    this.running.delete(pod);
    this.waiting.delete(pod);
    // Without an agent the end is found out later, by who is active.
    await this.agent?.ask({ do: "release", podUid: pod.metadata.uid });
  }

  /** Somebody dies while the plugin is asked: nothing was started, nobody is harmed. */
  async dieAllocating(who: "agent" | "plugin"): Promise<void> {
    const { agent, plugin } = this;
    if (agent === undefined || plugin === undefined || (await this.free()).length === 0) return;
    await plugin.ask({ do: "hang" });
    const pod = this.newPod(1, false);
    await this.tellAgent();
    const asked = new Promise<void>((resolve) => (this.#onAllocating = resolve));
    const admission = agent.ask<DeviceAdmission>({ do: "admit", pod }).catch(() => undefined);
    await asked;
    if (who === "agent") await this.killAgent();
    await this.killPlugin();
    expect((await admission)?.kind).not.toBe("admitted");
    if (who === "plugin") expect(await this.held(pod)).toEqual([]);
  }

  async check(): Promise<void> {
    const state = await this.state();
    if (state === undefined) return;
    const owners = new Map<string, string>();
    for (const { podUid, ids } of state.records)
      for (const id of ids) {
        expect(owners.get(id) ?? podUid, `${id} is given twice`).toBe(podUid);
        owners.set(id, podUid);
      }
    for (const [pod, ids] of this.running)
      expect(sorted(await this.held(pod)), "a running container lost its devices").toEqual(sorted(ids));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.agent?.kill();
    await this.plugin?.kill();
  }
}

/** All that is free goes to one pod, and the next one is told that nothing is left. */
async function exhaust(story: Story): Promise<void> {
  const free = await story.free();
  if (story.agent === undefined || story.plugin === undefined || free.length === 0) return;
  expect(await story.tryToStart(story.newPod(free.length, false))).toBe("admitted");
  const late = story.newPod(1, false);
  expect(await story.tryToStart(late)).toBe("refused");
  await story.end(late);
}

async function take(story: Story, next: Step): Promise<void> {
  const pods = [...story.running.keys()];
  const chosen = "which" in next ? pods[next.which % Math.max(pods.length, 1)] : undefined;
  switch (next.do) {
    case "admit":
      await story.tryToStart(story.newPod(next.count, next.init));
      return;
    case "end":
      if (chosen !== undefined) await story.end(chosen);
      return;
    case "restart":
      if (chosen === undefined || story.agent === undefined) return;
      expect(sorted(await story.startContainer(chosen))).toEqual(sorted(story.running.get(chosen) ?? []));
      return;
    case "bad":
    case "good":
      return story.setHealth(next.which, next.do === "good");
    case "exhaust":
      return exhaust(story);
    case "both":
      await story.killAgent();
      return story.killPlugin();
    case "agentDiesAllocating":
      return story.dieAllocating("agent");
    case "pluginDiesAllocating":
      return story.dieAllocating("plugin");
    default:
      return story[next.do]();
  }
}

/** Resolves with what the last pod got. */
async function play(isQuiet: boolean, steps: readonly Step[]): Promise<readonly string[]> {
  await using story = new Story(await newFolder(), isQuiet);
  await story.startAgent();
  await story.startPlugin();
  for (const next of steps) {
    await take(story, next);
    await story.check();
    for (const pod of [...story.waiting].slice(0, 2)) await story.tryToStart(pod);
    await story.check();
  }
  // In the end everything is free again, and can be given.
  await story.killPlugin();
  for (const pod of [...story.running.keys(), ...story.waiting]) await story.end(pod);
  story.healthy.fill(true);
  await story.startAgent();
  await story.startPlugin();
  const all = story.newPod(IDS.length, true);
  await story.tryToStart(all);
  return sorted(story.running.get(all) ?? []);
}

test.each([false, true])(
  "processes: no device twice, none lost, no running container harmed (a plugin that registers once: %s)",
  async (isQuiet) => {
    const seed = process.env["HOLDFAST_TEST_SEED"];
    const steps = fc.array(step, { minLength: 30, maxLength: 40 });
    await fc.assert(
      fc.asyncProperty(steps, async (story) => {
        expect(await play(isQuiet, story)).toEqual(IDS);
      }),
      // Nothing is made smaller: that would take minutes.
      { numRuns: 1, endOnFailure: true, ...(seed === undefined ? {} : { seed: Number(seed) }) },
    );
  },
);
