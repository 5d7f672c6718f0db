// SPDX-License-Identifier: Apache-2.0

/** A plugin that answers whatever a test wants, on a socket of its own. */
import { join } from "node:path";
import { Client, credentials, Server, ServerCredentials } from "@grpc/grpc-js";
import { DevicePluginService, RegistrationService } from "../src/gen/deviceplugin/v1beta1/deviceplugin.ts";
import type { DevicePluginServer, RegisterRequest } from "../src/gen/deviceplugin/v1beta1/deviceplugin.ts";
import { RegistrationService as WatcherService } from "../src/gen/pluginregistration/v1/pluginregistration.ts";
import type { RegistrationServer as WatcherServer } from "../src/gen/pluginregistration/v1/pluginregistration.ts";

export interface RawPlugin extends AsyncDisposable {
  readonly server: Server;
}

const base: DevicePluginServer = {
  getDevicePluginOptions: (_call, reply) =>
    reply(null, { preStartRequired: false, getPreferredAllocationAvailable: false }),
  listAndWatch: (call) => void call.write({ devices: [{ ID: "a", health: "Healthy", topology: undefined }] }),
  getPreferredAllocation: (_call, reply) => reply(null, { containerResponses: [] }),
  allocate: (_call, reply) => reply(null, { containerResponses: [] }),
  preStartContainer: (_call, reply) => reply(null, {}),
};

/** Serves on `path`; what is not given answers as a plugin with one good device "a". */
export async function serveRaw(
  path: string,
  plugin: Partial<DevicePluginServer>,
  watcher?: WatcherServer,
): Promise<RawPlugin> {
  const server = new Server({ "grpc.max_send_message_length": -1 });
  const handlers: DevicePluginServer = Object.assign({ ...base }, plugin);
  server.addService(DevicePluginService, handlers);
  if (watcher !== undefined) server.addService(WatcherService, watcher);
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix://${path}`, ServerCredentials.createInsecure(), (error) =>
      error === null ? resolve() : reject(error),
    );
  });
  return { server, [Symbol.asyncDispose]: () => Promise.resolve(server.forceShutdown()) };
}

/** Calls Register; resolves with the error's text, or "" when it was taken. */
export function registerRaw(folder: string, request: Partial<RegisterRequest>): Promise<string> {
  const client = new Client(`unix://${join(folder, "kubelet.sock")}`, credentials.createInsecure());
  const { path, requestSerialize, responseDeserialize } = RegistrationService.register;
  const whole = { version: "v1beta1", endpoint: "", resourceName: "", options: undefined, ...request };
  return new Promise((resolve) => {
    client.makeUnaryRequest(path, requestSerialize, responseDeserialize, whole, (error) => {
      client.close();
      resolve(error === null ? "" : error.details);
    });
  });
}
