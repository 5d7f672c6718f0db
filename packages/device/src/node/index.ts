// SPDX-License-Identifier: Apache-2.0

export { DEVICE_PLUGIN_FOLDER, KUBELET_SOCKET, RegistrationServer } from "./registration-server.ts";
export type { RegistrationServerOptions } from "./registration-server.ts";
export { PluginWatcher } from "./plugin-watcher.ts";
export type { PluginHandler, PluginWatcherOptions } from "./plugin-watcher.ts";
export { checkSocket, nodePluginDialer } from "./plugin-dialer.ts";
export { DEVICE_CHECKPOINT_NAME, fileDeviceCheckpoint } from "./device-checkpoint-file.ts";
export { claimSocket } from "./unix-server.ts";
export { POD_RESOURCES_SOCKET, PodResourcesServer } from "./pod-resources-server.ts";
export type { PodResourcesServerOptions } from "./pod-resources-server.ts";
export { readBootId, readNumaNodes } from "./machine.ts";
