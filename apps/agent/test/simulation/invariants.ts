// SPDX-License-Identifier: Apache-2.0

/** What must hold at every moment, and what must hold once nothing disturbs the node any more. */
import type { Folder, WantedPod } from "./folder.ts";
import { PODS_DIR } from "./memory-state.ts";
import { LOG_LINKS, POD_LOGS } from "./simulated-node.ts";
import type { SimulatedNode } from "./simulated-node.ts";

/** More timers, calls or waiting looks than these mean that something grows. */
const MAX_TIMERS = 2000;
const MAX_CALLS = 300;
const MAX_LOOKS = 250;
/** For an agent to see that a file is gone. */
const TIME_TO_SEE_MS = 1000;

interface SeenContainer {
  readonly uid: string;
  readonly name: string;
  /** Its pod was not wanted at some time since it was first seen. */
  readonly doomed: boolean;
}

/** Looks at the node again and again, and remembers what it saw. */
export class Invariants {
  readonly #node: SimulatedNode;
  readonly #folder: Folder;
  readonly #excused = new Set<string>();
  #alive = new Map<string, SeenContainer>();
  /** Of pods that no manifest asks for, those of which nothing was left. */
  readonly #gone = new Set<string>();
  readonly #unwantedSince = new Map<string, number>();
  /** Since when an agent sees both the folder and the runtime. */
  #seesSince = Number.POSITIVE_INFINITY;
  /** UIDs of pods whose one-time container has done its work. */
  readonly #done = new Set<string>();
  readonly #restarts = new Map<string, number>();
  readonly #phases = new Map<string, string>();
  #violations = 0;
  /** What was wrong, oldest first. */
  readonly problems: string[] = [];

  constructor(node: SimulatedNode, folder: Folder) {
    this.#node = node;
    this.#folder = folder;
  }

  /** These containers end by somebody else's hand. */
  excuse(...ids: readonly string[]): void {
    for (const id of ids) this.#excused.add(id);
  }

  /** After every step. */
  async check(): Promise<void> {
    await this.#checkRuntime();
    this.#checkHealthyOnes();
    await this.#checkStatuses();
    await this.#checkBounds();
    this.problems.push(...this.#node.troubles.splice(0));
  }

  async #checkRuntime(): Promise<void> {
    const { runtime } = this.#node;
    for (const { text } of runtime.violations.slice(this.#violations)) this.#wrong(text);
    this.#violations = runtime.violations.length;
    const running = this.#node.running();
    for (const [name, containers] of Map.groupBy(running, ({ podName }) => podName))
      if (new Set(containers.map(({ podUid }) => podUid)).size > 1) this.#wrong(`two pods named ${name} run`);
    this.#checkDone();
    await this.#noteGone();
    for (const { podUid, name } of running)
      if (this.#gone.has(podUid))
        this.#wrong(`${this.#called(podUid)}/${name} runs although its pod was gone for good`);
  }

  /** What has ended well and is not to be repeated is not run again, whatever lists say. */
  #checkDone(): void {
    const wanted = this.#folder.uids();
    // Whose pod was given up in between begins anew.
    for (const uid of this.#done) if (!wanted.has(uid)) this.#done.delete(uid);
    for (const { podUid, name, phase } of this.#node.runtime.containers()) {
      if (this.#folder.known.get(podUid)?.kind.onceOnly !== name || !wanted.has(podUid)) continue;
      if (phase === "running" && this.#done.has(podUid))
        this.#wrong(`${this.#called(podUid)}/${name} runs although it had ended well`);
    }
    for (const { podUid, name, phase, exitCode } of this.#node.runtime.containers())
      if (phase === "exited" && exitCode === 0 && wanted.has(podUid))
        if (this.#folder.known.get(podUid)?.kind.onceOnly === name) this.#done.add(podUid);
  }

  /** Once an agent that reads the folder and the runtime has had time to see that nobody wants a pod, and nothing of it is left, it stays so. */
  async #noteGone(): Promise<void> {
    const { clock, manifests, runtime } = this.#node;
    const now = clock.monotonic();
    const { pleg } = (await this.#node.snapshot()) as { pleg?: unknown };
    if (pleg === undefined || !manifests.isThere) this.#seesSince = Number.POSITIVE_INFINITY;
    else this.#seesSince = Math.min(this.#seesSince, now);
    const wanted = this.#folder.uids();
    for (const uid of wanted) this.#unwantedSince.set(uid, Number.POSITIVE_INFINITY);
    const present = new Set([...runtime.sandboxes(), ...runtime.containers()].map(({ podUid }) => podUid));
    for (const uid of this.#folder.known.keys()) {
      if (wanted.has(uid)) this.#gone.delete(uid);
      else {
        const since = Math.min(this.#unwantedSince.get(uid) ?? now, now);
        this.#unwantedSince.set(uid, since);
        const seen = now - Math.max(since, this.#seesSince) >= TIME_TO_SEE_MS;
        if (seen && !present.has(uid) && runtime.inFlight().length === 0) this.#gone.add(uid);
      }
    }
  }

  /** A container that runs and was wanted all the time goes on, whatever happens to the agent, the runtime's service or the network. */
  #checkHealthyOnes(): void {
    const wanted = this.#folder.uids();
    const running = new Set(this.#node.running().map(({ id }) => id));
    for (const [id, { uid, name, doomed }] of this.#alive) {
      if (running.has(id) || this.#excused.has(id) || doomed || !wanted.has(uid)) continue;
      if (this.#folder.known.get(uid)?.kind.running.includes(name) === true)
        this.#wrong(`${this.#called(uid)}/${name} (${id.slice(0, 8)}) was healthy and was ended`);
    }
    this.#alive = new Map(
      this.#node.running().map(({ id, podUid: uid, name }) => {
        // Whose pod was given up in between ends, also if it is wanted again meanwhile.
        const doomed = this.#alive.get(id)?.doomed === true || !wanted.has(uid);
        return [id, { uid, name, doomed }];
      }),
    );
  }

  async #checkStatuses(): Promise<void> {
    const pods = await this.#node.pods();
    const wanted = this.#folder.uids();
    for (const key of this.#restarts.keys())
      if (!wanted.has(key.slice(0, key.indexOf("/")))) this.#restarts.delete(key);
    for (const uid of this.#phases.keys()) if (!wanted.has(uid)) this.#phases.delete(uid);
    for (const { metadata, status, holdfast } of pods) {
      const { uid } = metadata;
      // What is on its way out may be wanted again meanwhile, and begins anew then.
      if (!wanted.has(uid)) continue;
      const phase = this.#phases.get(uid);
      if ((phase === "Succeeded" || phase === "Failed") && status.phase !== phase)
        this.#wrong(`${this.#called(uid)}: phase went from ${phase} to ${status.phase}`);
      if (holdfast.worker === "terminated" && status.reason === undefined)
        this.#phases.set(uid, status.phase);
      if (holdfast.worker !== "sync") continue;
      for (const { name, restartCount } of [
        ...(status.initContainerStatuses ?? []),
        ...(status.containerStatuses ?? []),
      ]) {
        const key = `${uid}/${name}`;
        const before = this.#restarts.get(key) ?? 0;
        if (restartCount < before)
          this.#wrong(`${this.#called(uid)}/${name}: restartCount fell from ${before} to ${restartCount}`);
        this.#restarts.set(key, restartCount);
      }
    }
  }

  async #checkBounds(): Promise<void> {
    const { clock, runtime } = this.#node;
    if (clock.waiting > MAX_TIMERS) this.#wrong(`${clock.waiting} timers are armed`);
    if (runtime.inFlight().length > MAX_CALLS)
      this.#wrong(`${runtime.inFlight().length} calls are in flight`);
    const { pleg } = (await this.#node.snapshot()) as {
      pleg?: { waiting: Readonly<Record<string, number>> };
    };
    for (const [what, count] of Object.entries(pleg?.waiting ?? {}))
      if (count > MAX_LOOKS) this.#wrong(`${count} ${what} wait in the PLEG`);
    if (/^holdfast_bus_dropped_total\{.*\} [1-9]/m.test(await this.#node.metrics()))
      this.#wrong("the bus dropped events");
  }

  /** Nothing disturbs the node any more: it is exactly what the folder says. */
  async checkSettled(): Promise<void> {
    const pods = await this.#node.pods();
    const wanted = this.#folder.wanted();
    this.#same(
      "pods",
      pods.map(({ metadata }) => metadata.uid),
      wanted.map(({ uid }) => uid),
    );
    for (const pod of wanted) {
      const shown = pods.find(({ metadata }) => metadata.uid === pod.uid);
      if (shown !== undefined) this.#checkEnding(pod, shown.status.phase);
    }
    const holding = wanted.filter(({ kind }) => kind.ending !== "ends").map(({ uid }) => uid);
    const { runtime, cgroups, disk } = this.#node;
    this.#same(
      "ready sandboxes",
      runtime
        .sandboxes()
        .filter(({ ready }) => ready)
        .map(({ podUid }) => podUid),
      holding,
    );
    this.#same(
      "addresses",
      [...runtime.leases().values()],
      runtime
        .sandboxes()
        .filter(({ ready, ip }) => ready && ip !== "")
        .map(({ id }) => id),
    );
    const of = (uids: readonly string[]): string[] => uids.filter((uid) => holding.includes(uid));
    this.#same("cgroups", cgroups.podUids(), of(cgroups.podUids()));
    const folders = disk.names(PODS_DIR);
    // A pod that failed before it began (its deadline passed while the runtime was away) has none.
    const expected = wanted
      .map(({ uid }) => uid)
      .filter((uid) => holding.includes(uid) || folders.includes(uid));
    this.#same("pod folders", folders, expected);
    const logs = disk.names(POD_LOGS);
    this.#same(
      "pod logs",
      logs,
      logs.filter((name) => wanted.some(({ uid }) => name.endsWith(uid))),
    );
    this.#checkNoLeftovers(wanted.map(({ uid }) => uid));
  }

  #checkEnding({ uid, kind }: WantedPod, phase: string): void {
    const running = this.#node.running().filter(({ podUid }) => podUid === uid);
    const names = running.map(({ name }) => name);
    const phases = {
      runs: ["Running"],
      ends: ["Succeeded", "Failed"],
      crashes: ["Running"],
      waits: ["Pending"],
    };
    if (!phases[kind.ending].includes(phase)) this.#wrong(`${this.#called(uid)} is ${phase} in the end`);
    if (kind.ending !== "crashes") this.#same(`running in ${this.#called(uid)}`, names, kind.running);
  }

  /** Nothing is left of any pod but these. */
  #checkNoLeftovers(uids: readonly string[]): void {
    const { disk, runtime, state } = this.#node;
    const ids = new Set(runtime.containers().map(({ id }) => id));
    for (const link of disk.names(LOG_LINKS))
      if (![...ids].some((id) => link.includes(id))) this.#wrong(`the link ${link} is left`);
    for (const uid of this.#folder.known.keys()) {
      if (uids.includes(uid)) continue;
      for (const key of state.keys())
        if (key.includes(uid)) this.#wrong(`state ${key} of ${this.#called(uid)} is left`);
      for (const mount of disk.mounts) if (mount.includes(uid)) this.#wrong(`${mount} is left mounted`);
      for (const { podUid, name } of runtime.containers())
        if (podUid === uid) this.#wrong(`container ${name} of ${this.#called(uid)} is left`);
      for (const { podUid } of runtime.sandboxes())
        if (podUid === uid) this.#wrong(`a sandbox of ${this.#called(uid)} is left`);
    }
  }

  #called(uid: string): string {
    return `${this.#folder.known.get(uid)?.kindName ?? "?"}(${uid.slice(0, 6)})`;
  }

  #same(what: string, is: readonly string[], shouldBe: readonly string[]): void {
    const name = (uid: string): string => (this.#folder.known.has(uid) ? this.#called(uid) : uid);
    const [left, right] = [is.map(name).sort().join(" "), shouldBe.map(name).sort().join(" ")];
    if (left !== right) this.#wrong(`${what}: [${left}] should be [${right}]`);
  }

  #wrong(text: string): void {
    this.problems.push(`${this.#node.clock.monotonic()}: ${text}`);
  }
}
