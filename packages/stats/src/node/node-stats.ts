// SPDX-License-Identifier: Apache-2.0

import { hostname } from "node:os";
import { systemClock } from "@holdfast/core/node";
import { createCriClient } from "@holdfast/cri";
import type { CriClient } from "@holdfast/cri";
import { listCriPods } from "../cri/list-cri-pods.ts";
import { SummaryProvider } from "../summary-provider.ts";
import type { SummaryProviderOptions } from "../summary-provider.ts";
import { nodeStatsHost } from "./node-stats-host.ts";

/** How {@link nodeStats} is called: the runtime's socket, and whatever of a `SummaryProvider` shall be other than here. */
export interface NodeStatsOptions extends Partial<Omit<SummaryProviderOptions, "runtime">> {
  /** Default `unix:///run/containerd/containerd.sock`. Where nobody answers, pods are missing and named in `problems`. */
  readonly endpoint?: string | undefined;
  /** Default /var/log/pods. */
  readonly podLogsDir?: string;
}

/** With a connection of its own, which ends with it. */
class ConnectedStats extends SummaryProvider {
  readonly #client: CriClient;

  constructor(client: CriClient, options: Omit<SummaryProviderOptions, "runtime">) {
    super({ ...options, runtime: client });
    this.#client = client;
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    try {
      await super[Symbol.asyncDispose]();
    } finally {
      await this.#client[Symbol.asyncDispose]();
    }
  }
}

/** Statistics of this machine and the pods of its runtime, all ports filled. Nothing is read before the first sample; `await using` also ends its connection. */
export function nodeStats({
  endpoint = "unix:///run/containerd/containerd.sock",
  podLogsDir = "/var/log/pods",
  ...options
}: NodeStatsOptions = {}): SummaryProvider {
  const clock = options.clock ?? systemClock;
  const client = createCriClient({ endpoint, clock });
  return new ConnectedStats(client, {
    host: nodeStatsHost(),
    pods: listCriPods(client, { podLogsDir }),
    nodeName: hostname(),
    nodeFsPath: "/var/lib",
    ...options,
    clock,
  });
}
