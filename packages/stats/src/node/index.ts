// SPDX-License-Identifier: Apache-2.0

export type { KernelFiles } from "../ports.ts";
