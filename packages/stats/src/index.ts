// SPDX-License-Identifier: Apache-2.0

export { SummaryProvider } from "./summary-provider.ts";
export type { SummaryProviderOptions } from "./summary-provider.ts";
export type { SystemContainer } from "./node-stats.ts";
export { listCriPods } from "./cri/list-cri-pods.ts";
export type { CriPodLister, ListCriPodsOptions } from "./cri/list-cri-pods.ts";

export { CgroupReader } from "./cgroup/cgroup-reader.ts";
export type { CgroupLayout } from "./cgroup/cgroup-reader.ts";
export type {
  CgroupFigures,
  CgroupMemory,
  CgroupParts,
  CgroupPressure,
  CgroupSwap,
} from "./cgroup/cgroup-figures.ts";
export type { IoCounters } from "./parse/parse-io.ts";
export { parsePressure } from "./parse/parse-pressure.ts";
export { ContainedCalls } from "./disk/contained-calls.ts";
export type { ContainedCallsOptions } from "./disk/contained-calls.ts";
export { computeFilesystemFigures, FilesystemReader } from "./disk/filesystem-reader.ts";
export type { FilesystemFigures } from "./disk/filesystem-reader.ts";
export { TreeMeter } from "./disk/tree-meter.ts";
export type { MeasuredTree, TreeMeterOptions } from "./disk/tree-meter.ts";
export type { StatsErrorCode } from "./errors.ts";
export type {
  FilesystemLayout,
  KernelFiles,
  ListStatsPods,
  MeasureTree,
  RawFilesystem,
  SampleOptions,
  Statfs,
  StatsHost,
  StatsContainer,
  StatsPod,
  StatsProblem,
  StatsProvider,
  StatsRuntime,
  StatsSample,
  StatsVolume,
  StorageOptions,
  StorageSample,
  TreeUsage,
  WalkBounds,
} from "./ports.ts";
export type {
  ContainerStats,
  CPUStats,
  FsStats,
  InterfaceStats,
  IOStats,
  MemoryStats,
  NetworkStats,
  NodeStats,
  PodReference,
  PodStats,
  ProcessStats,
  PSIData,
  PSIStats,
  RlimitStats,
  RuntimeStats,
  Summary,
  SwapStats,
  Time,
  VolumeStats,
} from "./summary.ts";
