// SPDX-License-Identifier: Apache-2.0

/** Finds where the last lines of ended containers are, one container at a time, apart from everything else. */
import type { Clock } from "@holdfast/core/clock";
import { withDeadline } from "@holdfast/core/lifecycle";
import type { LogOwner, LogPosition, LogTails } from "./ports.ts";
import type { Termination } from "./termination.ts";

/** Where one container's last lines are. */
export interface FoundLog {
  readonly end: Termination;
  readonly log: LogPosition;
}

const DEADLINE_MS = 2000;
/** Ends that wait at most; older ones go without. */
const MAX_WAITING = 256;

/** See the top of the file. Failures mean "no log", never an error. */
export class LogFinder {
  readonly #logs: LogTails | undefined;
  readonly #clock: Clock;
  readonly #waiting: (LogOwner & { readonly end: Termination })[] = [];
  #working: Promise<void> | undefined;
  #stopped = false;

  constructor(logs: LogTails | undefined, clock: Clock) {
    this.#logs = logs;
    this.#clock = clock;
  }

  /** Looks for the logs of these ends; `onFound` is called with those that there are. */
  find(ended: readonly Termination[], onFound: (found: readonly FoundLog[]) => void): void {
    if (this.#logs === undefined || this.#stopped) return;
    for (const end of ended) {
      const { pod, podUid, container, restartCount } = end;
      const slash = pod.indexOf("/");
      if (slash < 0 || restartCount === undefined) continue;
      const [namespace, podName] = [pod.slice(0, slash), pod.slice(slash + 1)];
      this.#waiting.push({ podUid, namespace, podName, container, restartCount, end });
    }
    this.#waiting.splice(0, Math.max(this.#waiting.length - MAX_WAITING, 0));
    this.#working ??= this.#work(onFound).finally(() => (this.#working = undefined));
  }

  /** See `Journal.readLog`. */
  async read(position: LogPosition): Promise<readonly string[] | undefined> {
    if (this.#logs === undefined) return undefined;
    try {
      return await withDeadline(this.#clock, DEADLINE_MS, "reading a log", this.#logs.read(position));
    } catch {
      return undefined; // a log that cannot be read is as good as none
    }
  }

  /** Gives up what waits; bounded by one deadline. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#waiting.length = 0;
    await this.#working;
  }

  async #work(onFound: (found: readonly FoundLog[]) => void): Promise<void> {
    const found: FoundLog[] = [];
    for (let owner = this.#waiting.shift(); owner !== undefined; owner = this.#waiting.shift()) {
      const log = await this.#locate(owner);
      if (log !== undefined) found.push({ end: owner.end, log });
    }
    onFound(found);
  }

  async #locate(owner: LogOwner): Promise<LogPosition | undefined> {
    if (this.#logs === undefined) return undefined;
    try {
      return await withDeadline(this.#clock, DEADLINE_MS, "finding a log", this.#logs.locate(owner));
    } catch {
      return undefined; // the ledger goes without
    }
  }
}
