// SPDX-License-Identifier: Apache-2.0
/*
 * Which CPUs are whose, kept over restarts. kubelet: cm/cpumanager/state, file cpu_manager_state.
 *
 * Owns: the default set and the assignments. Invariant: what is in memory has been handed to the checkpoint. Lost on a crash: nothing that
 * the checkpoint took.
 */
import { errorText, HoldfastError } from "@holdfast/core/errors";
import { CpuSet } from "../machine/cpu-set.ts";
import type { StateCheckpoint } from "../ports.ts";

/** Assigned CPUs by pod UID and container name. */
export type CpuAssignments = ReadonlyMap<string, ReadonlyMap<string, CpuSet>>;

/** kubelet: the file's name. */
const KEY = "cpu_manager_state";

/** See the top of the file. */
export class CpuState {
  readonly #checkpoint: StateCheckpoint;
  readonly #policy: string;
  readonly #entries = new Map<string, Map<string, CpuSet>>();
  #defaultSet: CpuSet = CpuSet.empty;

  /** Reads what is kept. Throws `permanent` (RESOURCE_STATE) when it is of another policy or cannot be read. */
  constructor(checkpoint: StateCheckpoint, policy: string) {
    this.#checkpoint = checkpoint;
    this.#policy = policy;
    const text = checkpoint.get(KEY);
    if (text !== undefined) this.#restore(text);
  }

  /** The shared pool. */
  get defaultSet(): CpuSet {
    return this.#defaultSet;
  }

  get assignments(): CpuAssignments {
    return this.#entries;
  }

  get(podUid: string, container: string): CpuSet | undefined {
    return this.#entries.get(podUid)?.get(container);
  }

  setDefault(cpus: CpuSet): void {
    this.#defaultSet = cpus;
    this.#write();
  }

  /** An assignment and the pool that it leaves, in one write. */
  assign(podUid: string, container: string, cpus: CpuSet, defaultSet: CpuSet): void {
    const entries = this.#entries.get(podUid) ?? new Map<string, CpuSet>();
    entries.set(container, cpus);
    this.#entries.set(podUid, entries);
    this.setDefault(defaultSet);
  }

  /** Ends an assignment, with the pool that it leaves. */
  release(podUid: string, container: string, defaultSet: CpuSet): void {
    const entries = this.#entries.get(podUid);
    entries?.delete(container);
    if (entries?.size === 0) this.#entries.delete(podUid);
    this.setDefault(defaultSet);
  }

  #write(): void {
    const entries = Object.fromEntries(
      [...this.#entries].map(([uid, of]) => [
        uid,
        Object.fromEntries([...of].map(([name, cpus]) => [name, String(cpus)])),
      ]),
    );
    const state = { policyName: this.#policy, defaultCpuSet: String(this.#defaultSet), entries };
    this.#checkpoint.set(KEY, JSON.stringify(state));
  }

  #restore(text: string): void {
    try {
      const kept = JSON.parse(text) as Record<string, unknown>;
      const stored = String(kept["policyName"]);
      if (stored !== this.#policy)
        throw stateError(
          `configured policy "${this.#policy}" differs from state checkpoint policy "${stored}"`,
        );
      this.#defaultSet = CpuSet.parse(textOf(kept["defaultCpuSet"]));
      for (const [uid, containers] of Object.entries(recordOf(kept["entries"])))
        for (const [name, cpus] of Object.entries(recordOf(containers))) {
          const entries = this.#entries.get(uid) ?? new Map<string, CpuSet>();
          entries.set(name, CpuSet.parse(textOf(cpus)));
          this.#entries.set(uid, entries);
        }
    } catch (cause) {
      if (HoldfastError.is(cause) && cause.code === "RESOURCE_STATE") throw cause;
      throw stateError(`could not restore state from checkpoint: ${errorText(cause)}`, cause);
    }
  }
}

/** What is kept does not fit what is configured or what the machine has. */
export function stateError(text: string, cause?: unknown): HoldfastError {
  return new HoldfastError("RESOURCE_STATE", "permanent", text, cause === undefined ? {} : { cause });
}

function textOf(value: unknown): string {
  if (typeof value === "string") return value;
  throw new TypeError(`${JSON.stringify(value)?.slice(0, 40)} is no text`);
}

function recordOf(value: unknown): Record<string, unknown> {
  if (value === undefined || value === null) return {};
  if (typeof value === "object" && !Array.isArray(value)) return value as Record<string, unknown>;
  throw new TypeError(`${JSON.stringify(value).slice(0, 40)} is no object`);
}
