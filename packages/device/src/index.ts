// SPDX-License-Identifier: Apache-2.0
export { chooseDevices, splitByAffinity } from "./choose-devices.ts";
export type { AffinitySplit, DeviceChoice, DeviceDecision, PreferenceQuestion } from "./choose-devices.ts";
