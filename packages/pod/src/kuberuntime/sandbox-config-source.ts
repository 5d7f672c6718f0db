// SPDX-License-Identifier: Apache-2.0

/**
 * Sandbox configurations, with the host's DNS in them.
 *
 * Owns: the host's resolv.conf as it was read last. It is read anew for each sandbox that is created, and not for a container that starts
 * in a sandbox that is there: nothing may lie between an exit and the successor's create. Lost on a crash: nothing.
 */
import type { DeepPartial, PodSandboxConfig } from "@holdfast/cri";
import type { Pod } from "@holdfast/core/pod-types";
import type { Owner } from "./container-labels.ts";
import { parseResolvConf, podDns } from "./dns.ts";
import type { DnsConfig } from "./dns.ts";
import { DnsWarning } from "./events.ts";
import type { PodRecorder } from "./pod-recorder.ts";
import { sandboxConfig } from "./sandbox-config.ts";
import { PodSyncError } from "./sync-error.ts";

/** How a {@link SandboxConfigSource} is made. */
export interface SandboxConfigSourceOptions {
  readonly owner: Owner;
  readonly clusterDomain: string;
  readonly clusterDns: readonly string[];
  readonly resolvConf: () => Promise<string | undefined>;
  readonly nodeIps: () => readonly string[];
  readonly logDirectory: (pod: Pod) => string;
}

/** See the top of the file. */
export class SandboxConfigSource {
  readonly #options: SandboxConfigSourceOptions;
  #host: DnsConfig | undefined;
  #read = false;

  constructor(options: SandboxConfigSourceOptions) {
    this.#options = options;
  }

  /** Rejects with ConfigPodSandboxError. `fresh`: for a sandbox that is about to be created; warnings are published. */
  async make(
    pod: Pod,
    attempt: number,
    cgroupParent: string,
    recorder: PodRecorder,
    fresh: boolean,
  ): Promise<DeepPartial<PodSandboxConfig>> {
    const { owner, clusterDomain, clusterDns, nodeIps, logDirectory } = this.#options;
    try {
      if (fresh || !this.#read) await this.#readHost();
      const dns = podDns(pod, { clusterDns, clusterDomain, host: this.#host, nodeIps: nodeIps() });
      if (fresh)
        for (const problem of dns.problems) recorder.emit(DnsWarning, { eventType: "Warning", ...problem });
      return sandboxConfig(pod, {
        attempt,
        owner,
        clusterDomain,
        cgroupParent,
        dns: dns.config,
        logDirectory: logDirectory(pod),
      });
    } catch (error) {
      throw PodSyncError.from("ConfigPodSandboxError", error);
    }
  }

  async #readHost(): Promise<void> {
    const text = await this.#options.resolvConf();
    this.#host = text === undefined ? undefined : parseResolvConf(text);
    this.#read = true;
  }
}
