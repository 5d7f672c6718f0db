// SPDX-License-Identifier: Apache-2.0

export { DevicePlugin, serveDevicePlugin } from "./device-plugin.ts";
export type { DevicePluginOptions, PluginAnswer, PluginDevice } from "./device-plugin.ts";
