// SPDX-License-Identifier: Apache-2.0

export { systemClock } from "./system-clock.ts";
