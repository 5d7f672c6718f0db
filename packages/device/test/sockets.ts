// SPDX-License-Identifier: Apache-2.0

/** An agent's device side on real sockets in a folder of its own. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
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
import { afterEach } from "vitest";

const folders: string[] = [];

const held: AsyncDisposable[] = [];

afterEach(async () => {
  for (const one of held.splice(0).toReversed()) await one[Symbol.asyncDispose]();
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true });
});

/** Lives until the test is over. */
export function hold(one: AsyncDisposable): void {
  held.push(one);
}

export async function newFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "holdfast-device-"));
  folders.push(folder);
  return folder;
}

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
