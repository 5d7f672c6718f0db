// SPDX-License-Identifier: Apache-2.0
//
// What the error channel says at a command's end, as kubectl and crictl read it: a metav1.Status.

import { errorText } from "@holdfast/core/errors";

/** Of a command that ended with `exitCode`. */
export function exitStatus(exitCode: number): Buffer {
  if (exitCode === 0) return status({ status: "Success" });
  return status({
    status: "Failure",
    message: `command terminated with non-zero exit code: exit status ${exitCode}`,
    reason: "NonZeroExitCode",
    details: { causes: [{ reason: "ExitCode", message: String(exitCode) }] },
  });
}

/** Of a command that could not be run. */
export function failureStatus(error: unknown): Buffer {
  const message = `error executing command in container: ${errorText(error)}`;
  return status({
    status: "Failure",
    message,
    reason: "InternalError",
    details: { causes: [{ message }] },
    code: 500,
  });
}

function status(fields: Readonly<Record<string, unknown>>): Buffer {
  return Buffer.from(JSON.stringify({ metadata: {}, ...fields }));
}
