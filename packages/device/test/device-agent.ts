// SPDX-License-Identifier: Apache-2.0

/** An agent's device side on real sockets. */
import { join } from "node:path";
import { systemClock } from "@holdfast/core/node";
import { DeviceManager } from "@holdfast/device";
import type { DeviceManagerOptions } from "@holdfast/device";
import {
  claimSocket,
  DEVICE_CHECKPOINT_NAME,
  fileDeviceCheckpoint,
  KUBELET_SOCKET,
  nodePluginDialer,
  RegistrationServer,
} from "@holdfast/device/node";

/** One run of an agent. */
export class DeviceAgent implements AsyncDisposable {
  readonly manager: DeviceManager;
  readonly server: RegistrationServer;

  constructor(folder: string, options: Partial<DeviceManagerOptions> = {}) {
    this.manager = new DeviceManager({
      clock: systemClock,
      dialer: nodePluginDialer(folder),
      checkpoint: fileDeviceCheckpoint(join(folder, DEVICE_CHECKPOINT_NAME)),
      pods: { activePods: () => undefined, isRunning: () => false },
      bootId: "boot",
      claim: () => claimSocket(join(folder, KUBELET_SOCKET)),
      ...options,
    });
    this.server = new RegistrationServer({ folder, manager: this.manager });
  }

  async start(): Promise<this> {
    await this.manager.start();
    await this.server.start();
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server.stop();
    await this.manager.stop();
  }
}

export async function startAgent(
  folder: string,
  options: Partial<DeviceManagerOptions> = {},
): Promise<DeviceAgent> {
  return new DeviceAgent(folder, options).start();
}
