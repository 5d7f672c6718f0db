// SPDX-License-Identifier: Apache-2.0

import { formatBytes } from "@holdfast/gc";
import type { ContainerStats, FsStats, NodeStats, PodStats } from "@holdfast/stats";
import type { StatsAnswer } from "../../api/stats-routes.ts";
import type { Command, CommandContext } from "../command.ts";
import { CommandError, textOption } from "../command.ts";
import { formatTable } from "../table.ts";

const UNKNOWN = "-";
const NANOS_PER_MILLI = 1_000_000;

/** What rows are ordered by; the largest comes first. */
const SORTS: Readonly<Record<string, (pod: PodStats) => number>> = {
  cpu: ({ cpu }) => cpu?.usageNanoCores ?? 0,
  memory: ({ memory }) => memory?.workingSetBytes ?? 0,
  pids: ({ process_stats }) => process_stats?.process_count ?? 0,
  disk: (pod) => pod["ephemeral-storage"]?.usedBytes ?? 0,
};

/** `holdfast top`. */
export const topCommand: Command = {
  name: "top",
  summary: "show what the node and its pods use: CPU, memory, processes, network, disk",
  usage: "holdfast top [POD] [--containers] [--fresh] [--sort cpu|memory|pids|disk] [-n NS] [-o json]",
  details: [
    "Read when asked for: CPU is what was used since the last time somebody asked, or over one second. Memory is the working set, which eviction and OOM kills go by.",
    "PRESSURE is the share of the last 10 seconds in which at least one task waited for CPU, memory and I/O. NET counts since the pod began. DISK is writable",
    "layers, logs and emptyDirs, at most a minute old. -o json prints the kubelet's Summary.",
  ],
  options: {
    containers: { type: "boolean", help: "a row for each container" },
    fresh: { type: "boolean", help: "measure disks anew: costs a system call for each file" },
    sort: { type: "string", value: "KEY", help: "cpu (default), memory, pids or disk" },
    namespace: { type: "string", short: "n", value: "NS", help: "only pods of this namespace" },
    output: { type: "string", short: "o", value: "FORMAT", help: "json" },
  },
  async run(context) {
    const [name, ...more] = context.args;
    if (more.length > 0) throw new CommandError("top takes one pod at most", { exitCode: 2 });
    const output = textOption(context, "output");
    if (output !== undefined && output !== "json")
      throw new CommandError(`unknown output "${output}"; use json`, { exitCode: 2 });
    const sort = SORTS[textOption(context, "sort") ?? "cpu"];
    if (sort === undefined) throw new CommandError("--sort takes cpu, memory, pids or disk", { exitCode: 2 });
    const fresh = context.options["fresh"] === true ? "&fresh=true" : "";
    const { summary, problems } = await context.client.get<StatsAnswer>(`/api/v1/stats?rates=true${fresh}`);
    const pods = chosen(context, summary.pods, name).toSorted((one, other) => sort(other) - sort(one));
    if (output === "json") {
      context.terminal.out(`${JSON.stringify({ ...summary, pods }, undefined, 2)}\n`);
    } else {
      if (name === undefined) context.terminal.out(`${nodeTable(context, summary.node)}\n\n`);
      context.terminal.out(`${podTable(context, pods)}\n`);
    }
    for (const { part, message } of problems) context.terminal.err(`holdfast: ${part}: ${message}\n`);
    return 0;
  },
};

function chosen(
  context: CommandContext,
  pods: readonly PodStats[],
  name: string | undefined,
): readonly PodStats[] {
  const namespace = textOption(context, "namespace");
  const found = pods.filter(
    ({ podRef }) =>
      (name === undefined || podRef.name === name) &&
      (namespace === undefined || podRef.namespace === namespace),
  );
  if (name !== undefined && found.length === 0)
    throw new CommandError(`nothing of a pod "${name}" runs`, { next: "holdfast get pods" });
  return found;
}

/** A narrower terminal is spared the limit of processes and what percents say already. */
const ROOMY = 104;

function nodeTable(context: CommandContext, node: NodeStats): string {
  const { cpu, memory, io, rlimit, runtime } = node;
  const narrow = context.terminal.columns < ROOMY;
  const limit = narrow ? "" : `/${rlimit?.maxpid ?? UNKNOWN}`;
  const pressure = [cpu?.psi, memory?.psi, io?.psi].map((psi) =>
    psi === undefined ? UNKNOWN : `${psi.some.avg10.toFixed(0)}%`,
  );
  return formatTable(
    ["NODE", "CPU", "MEMORY", "AVAILABLE", "PIDS", "DISK", "IMAGES", "PRESSURE"].map((head) => ({ head })),
    [
      [
        node.nodeName,
        millis(cpu?.usageNanoCores),
        bytes(memory?.workingSetBytes),
        bytes(memory?.availableBytes),
        rlimit?.curproc === undefined ? UNKNOWN : `${rlimit.curproc}${limit}`,
        fullness(node.fs, narrow),
        bytes(runtime?.imageFs?.usedBytes),
        pressure.join(" "),
      ],
    ],
    context.terminal.columns,
  );
}

function podTable(context: CommandContext, pods: readonly PodStats[]): string {
  const withContainers = context.options["containers"] === true;
  const heads = ["NAMESPACE", "NAME", "CPU", "MEMORY", "PIDS", "NET IN", "NET OUT", "DISK"];
  return formatTable(
    heads.map((head) => ({ head, shrinks: head === "NAME" })),
    pods.flatMap((pod) => [
      podRow(pod),
      ...(withContainers ? pod.containers.map((container) => containerRow(container)) : []),
    ]),
    context.terminal.columns,
  );
}

function podRow(pod: PodStats): readonly string[] {
  const { podRef, cpu, memory, network, process_stats: processes } = pod;
  return [
    podRef.namespace,
    podRef.name,
    millis(cpu?.usageNanoCores),
    bytes(memory?.workingSetBytes),
    String(processes?.process_count ?? UNKNOWN),
    bytes(network?.rxBytes),
    bytes(network?.txBytes),
    bytes(pod["ephemeral-storage"]?.usedBytes),
  ];
}

function containerRow({ name, cpu, memory, rootfs, logs }: ContainerStats): readonly string[] {
  const disk = rootfs?.usedBytes === undefined ? logs?.usedBytes : rootfs.usedBytes + (logs?.usedBytes ?? 0);
  return [
    "",
    `  ${name}`,
    millis(cpu?.usageNanoCores),
    bytes(memory?.workingSetBytes),
    "",
    "",
    "",
    bytes(disk),
  ];
}

/** kubectl's form: thousandths of a core. */
function millis(nanoCores: number | undefined): string {
  return nanoCores === undefined ? UNKNOWN : `${Math.ceil(nanoCores / NANOS_PER_MILLI)}m`;
}

function bytes(value: number | undefined): string {
  return value === undefined ? UNKNOWN : formatBytes(value);
}

function fullness(fs: FsStats | undefined, narrow: boolean): string {
  if (fs?.usedBytes === undefined || fs.capacityBytes === undefined) return UNKNOWN;
  const percent = Math.round((fs.usedBytes / fs.capacityBytes) * 100);
  if (narrow) return `${percent}% of ${formatBytes(fs.capacityBytes)}`;
  return `${formatBytes(fs.usedBytes)} of ${formatBytes(fs.capacityBytes)} (${percent}%)`;
}
