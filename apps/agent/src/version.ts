// SPDX-License-Identifier: Apache-2.0

/** Version of the agent and its command line; the same as in package.json, checked by a test. */
export const VERSION = "0.1.0";
