// SPDX-License-Identifier: Apache-2.0
//
// The runtime about itself, and what it is asked to do and does not.

import {
  CgroupDriver,
  CheckpointContainerRequest,
  RuntimeConfigRequest,
  StatusRequest,
  UpdatePodSandboxResourcesRequest,
  UpdateRuntimeConfigRequest,
  VersionRequest,
} from "@holdfast/cri";
import type { CriRuntimeService, RuntimeCondition } from "@holdfast/cri";

import { notImplemented, RuntimeFailure, unknownMethod } from "./failure.ts";
import type { MethodFactory } from "./method.ts";

/** What the runtime says of itself. */
export interface StatusPorts {
  readonly runtimeName: string;
  readonly runtimeVersion: string;
  /** Undefined where Status does not tell of handlers and features: before containerd 2. */
  readonly shownHandlers: readonly string[] | undefined;
  readonly conditions: () => readonly RuntimeCondition[];
  readonly cgroupDriver: "systemd" | "cgroupfs";
  /** containerd 2 has CheckpointContainer, and no criu to do it with. */
  readonly checkpoints: boolean;
}

type SelfMethods = Pick<
  CriRuntimeService,
  | "version"
  | "status"
  | "runtimeConfig"
  | "updateRuntimeConfig"
  | "updatePodSandboxResources"
  | "checkpointContainer"
>;

export function createSelfService(ports: StatusPorts, { unary }: MethodFactory): SelfMethods {
  return {
    version: unary("Version", VersionRequest, {
      handle: () => ({
        version: "0.1.0",
        runtimeName: ports.runtimeName,
        runtimeVersion: ports.runtimeVersion,
        runtimeApiVersion: "v1",
      }),
    }),
    status: unary("Status", StatusRequest, {
      handle: () => ({
        status: { conditions: ports.conditions().map((condition) => ({ ...condition })) },
        info: {},
        runtimeHandlers: (ports.shownHandlers ?? []).map((name) => ({
          name,
          features: { recursiveReadOnlyMounts: true, userNamespaces: false },
        })),
        features:
          ports.shownHandlers === undefined
            ? undefined
            : { supplementalGroupsPolicy: true, userNamespacesHostNetwork: false },
      }),
    }),
    runtimeConfig: unary("RuntimeConfig", RuntimeConfigRequest, {
      handle: () => ({
        linux: {
          cgroupDriver: ports.cgroupDriver === "systemd" ? CgroupDriver.SYSTEMD : CgroupDriver.CGROUPFS,
        },
      }),
    }),
    updateRuntimeConfig: unary("UpdateRuntimeConfig", UpdateRuntimeConfigRequest, { handle: () => ({}) }),
    updatePodSandboxResources: unary("UpdatePodSandboxResources", UpdatePodSandboxResourcesRequest, {
      target: ({ podSandboxId }) => podSandboxId,
      handle: () => {
        throw unknownMethod("UpdatePodSandboxResources");
      },
    }),
    checkpointContainer: unary("CheckpointContainer", CheckpointContainerRequest, {
      target: ({ containerId }) => containerId,
      handle: ({ containerId }) => {
        if (!ports.checkpoints) throw notImplemented("CheckpointContainer");
        // It looks for criu before it looks for the container.
        throw new RuntimeFailure(
          "CRI_UNKNOWN",
          `CRIU binary not found or too old (<31600). Failed to checkpoint container "${containerId}": failed to check for criu ` +
            'version: exec: "criu": executable file not found in $PATH',
        );
      },
    }),
  };
}
