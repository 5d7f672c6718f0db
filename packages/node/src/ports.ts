// SPDX-License-Identifier: Apache-2.0

import type { CriClient } from "@holdfast/cri";

/** The one call that readiness needs. */
export type ReadinessRuntime = Pick<CriClient, "status" | "version">;

/** Facts about this machine. Filled by `src/node/`. */
export interface MachineFacts {
  readonly hostName: string;
  readonly machineId: string;
  readonly bootId: string;
  readonly kernelVersion: string;
  readonly osImage: string;
  readonly architecture: string;
  readonly cpus: number;
  readonly memoryBytes: number;
  readonly swapBytes: number;
  readonly cgroupVersion: 1 | 2;
  /** The first address of a network interface that is up and no loopback, or undefined. */
  readonly hostIP: string | undefined;
}
