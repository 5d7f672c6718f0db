// SPDX-License-Identifier: Apache-2.0

/**
 * A pod cache whose exited containers carry their termination message. kubelet: getTerminationMessage, called while a status is read.
 *
 * Owns: the messages read, by container id, bounded. Reads: the message files and logs of exited containers, each once. Invariant: an exit that is
 * not confirmed yet is passed on without reading, because its container's successor waits for nothing. Lost on a crash: nothing.
 */
import { allContainers } from "@holdfast/core/pod";
import type { Pod } from "@holdfast/core/pod-types";
import type { ContainerRecord, RuntimePodStatus } from "@holdfast/core/runtime-status";
import type { CachedPodStatus, PodCache, PodFiles } from "../ports.ts";
import { containerLogPath, podLogDirectory } from "./log-paths.ts";
import { readTerminationMessage, terminationLogFile } from "./termination-message.ts";

/** How a {@link TerminationMessageCache} is made. */
export interface TerminationMessageCacheOptions {
  readonly cache: PodCache;
  readonly files: Pick<PodFiles, "readFile">;
  /** The pod's spec, which says where its containers leave their last words. */
  readonly podOf: (uid: string) => Pod | undefined;
  readonly podsDir: string;
  readonly podLogsDir: string;
}

const CAPACITY = 2048;

/** See the block above. */
export class TerminationMessageCache implements PodCache {
  readonly #options: TerminationMessageCacheOptions;
  readonly #messages = new Map<string, string>();

  constructor(options: TerminationMessageCacheOptions) {
    this.#options = options;
  }

  get(uid: string): CachedPodStatus {
    const { status, error } = this.#options.cache.get(uid);
    return { status: withMessages(status, this.#messages), error };
  }

  async getNewerThan(uid: string, minTime: number, signal: AbortSignal): Promise<CachedPodStatus> {
    const { status, error } = await this.#options.cache.getNewerThan(uid, minTime, signal);
    for (const record of status.containers) {
      if (record.state === "exited" && record.exitUnconfirmed !== true && !this.#messages.has(record.id))
        await this.#read(uid, record);
    }
    return { status: withMessages(status, this.#messages), error };
  }

  requestRelist(uid: string): void {
    this.#options.cache.requestRelist(uid);
  }

  async #read(uid: string, record: ContainerRecord): Promise<void> {
    const { podOf, files, podsDir, podLogsDir } = this.#options;
    const pod = podOf(uid);
    const spec =
      pod === undefined
        ? undefined
        : allContainers(pod.spec).find((container) => container.name === record.name);
    if (pod === undefined || spec === undefined) return;
    const message = await readTerminationMessage(files, {
      message: record.message,
      exitCode: record.exitCode,
      reason: record.reason,
      policy: spec.terminationMessagePolicy ?? "File",
      file:
        spec.terminationMessagePath === ""
          ? undefined
          : terminationLogFile(`${podsDir}/${uid}`, record.name, record.restartCount),
      logFile: `${podLogDirectory(podLogsDir, pod.metadata)}/${containerLogPath(record.name, record.restartCount)}`,
    });
    this.#messages.set(record.id, message);
    const oldest = this.#messages.keys().next().value;
    if (this.#messages.size > CAPACITY && oldest !== undefined) this.#messages.delete(oldest);
  }
}

function withMessages(status: RuntimePodStatus, messages: ReadonlyMap<string, string>): RuntimePodStatus {
  if (!status.containers.some((record) => messages.has(record.id))) return status;
  return {
    ...status,
    containers: status.containers.map((record) => ({
      ...record,
      message: messages.get(record.id) ?? record.message,
    })),
  };
}
