// SPDX-License-Identifier: Apache-2.0

import { errorText, HoldfastError } from "@holdfast/core/errors";

/** containerd's words for a command that its own deadline ended. */
const TIMED_OUT = /timeout \S+ exceeded|DeadlineExceeded/;
/** runc tells its reason last, behind everybody who passed it on. */
const RUNC_REASON =
  /OCI runtime exec failed: exec failed: (?:unable to start container process: )?(.*?)(?:: unknown)?$/;

/** Why a command was not run, for the person who asked for it: by the container's name, and without the way the error took. */
export function execError(cause: unknown, where: string, timeoutSeconds: number): HoldfastError {
  const text = errorText(cause);
  const known = HoldfastError.is(cause) ? cause : undefined;
  const [, reason] = RUNC_REASON.exec(text) ?? [];
  const message = TIMED_OUT.test(text)
    ? `the command did not end within ${timeoutSeconds} s in ${where} and was ended`
    : `the command could not be run in ${where}: ${reason ?? text}`;
  return new HoldfastError("AGENT_EXEC", known?.kind ?? "permanent", message);
}
