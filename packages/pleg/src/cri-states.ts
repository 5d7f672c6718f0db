// SPDX-License-Identifier: Apache-2.0

/** The CRI's state numbers, by their types only: importing the values would load the whole gRPC client. */
import type { ContainerState, PodSandboxState } from "@holdfast/cri";

/** `SANDBOX_READY` */
export const SANDBOX_READY: typeof PodSandboxState.SANDBOX_READY = 0;
/** `CONTAINER_RUNNING` */
export const CONTAINER_RUNNING: typeof ContainerState.CONTAINER_RUNNING = 1;
/** `CONTAINER_EXITED` */
export const CONTAINER_EXITED: typeof ContainerState.CONTAINER_EXITED = 2;
