// SPDX-License-Identifier: Apache-2.0

/** Statistics, read when asked for: the kubelet's Summary as it is, and with it what could not be had. */
import type { Clock } from "@holdfast/core/clock";
import { HoldfastError } from "@holdfast/core/errors";
import type { FilesystemLayout, StatsProblem, StatsProvider, StatsSample, Summary } from "@holdfast/stats";
import type { ApiAnswer, ApiRequest } from "./server.ts";

/** What these routes need of the agent. */
export interface StatsView {
  readonly provider: Pick<StatsProvider, "sample">;
  readonly clock: Clock;
}

/** What `/api/v1/stats` answers. */
export interface StatsAnswer {
  readonly summary: Summary;
  /** Null while the runtime or a file system does not answer. */
  readonly layout: FilesystemLayout | null;
  readonly problems: readonly StatsProblem[];
}

/** Between the two samples of a rate that nobody has asked for lately. */
const RATE_WINDOW_MS = 1000;

/** `/stats/summary` is the Summary alone; `/api/v1/stats` says also what failed, and with `rates=true` waits a second for CPU rates if there are none. `fresh=true` measures disks anew, too. */
export async function statsAnswer(
  view: StatsView | undefined,
  request: ApiRequest,
  form: "summary" | "all",
): Promise<ApiAnswer> {
  if (view === undefined)
    throw new HoldfastError("AGENT_NOT_READY", "retryable", "the container runtime has not answered yet");
  const { query, signal } = request;
  const fresh = query.get("fresh") === "true" ? { maxAgeMs: 0, diskMaxAgeMs: 0 } : {};
  const options = { onlyCpuAndMemory: query.get("only_cpu_and_memory") === "true", ...fresh, signal };
  let sample = await view.provider.sample(options);
  if (query.get("rates") === "true" && lacksRates(sample)) {
    await view.clock.sleep(RATE_WINDOW_MS, { signal });
    sample = await view.provider.sample({ onlyCpuAndMemory: options.onlyCpuAndMemory, signal, maxAgeMs: 0 });
  }
  if (form === "summary") return { json: sample.summary };
  const { summary, layout, problems } = sample;
  return { json: { summary, layout: layout ?? null, problems } satisfies StatsAnswer };
}

function lacksRates({ summary: { node, pods } }: StatsSample): boolean {
  return [node, ...pods].some(({ cpu }) => cpu !== undefined && cpu.usageNanoCores === undefined);
}
