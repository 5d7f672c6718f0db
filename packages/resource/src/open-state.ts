// SPDX-License-Identifier: Apache-2.0

import { errorText } from "@holdfast/core/errors";
import type { Logger } from "@holdfast/core/log";
import type { StateCheckpoint } from "./ports.ts";

/** What {@link openState} needs to know. */
export interface OpenStateOptions<T> {
  readonly checkpoint: StateCheckpoint;
  readonly key: string;
  /** What is assigned, for the log: "CPUs". */
  readonly what: string;
  /** Without the kept state (default), or not at all, as the kubelet does. */
  readonly onInvalidState: "reset" | "fail" | undefined;
  readonly logger: Logger;
  /** Throws RESOURCE_STATE when the kept state does not fit. */
  readonly open: () => T;
}

/** Opens a manager's state; one that does not fit is set aside under another key, once, and a new one begun. */
export function openState<T>(options: OpenStateOptions<T>): T {
  const { checkpoint, key, what, open } = options;
  try {
    return open();
  } catch (error) {
    if ((error as { code?: string }).code !== "RESOURCE_STATE" || options.onInvalidState === "fail")
      throw error;
    const text = `the kept assignment of ${what} does not fit and is set aside; pods that run are assigned anew`;
    options.logger.warn(text, { err: errorText(error) });
    checkpoint.set(`${key}.unfit`, checkpoint.get(key) ?? "");
    checkpoint.delete(key);
    return open();
  }
}
