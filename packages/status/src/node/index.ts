// SPDX-License-Identifier: Apache-2.0

export { NodeHttp } from "./node-http.ts";
export type { NodeHttpOptions } from "./node-http.ts";
