// SPDX-License-Identifier: Apache-2.0

/** Whether Node gave up with one of these codes: `ENOENT`, `EEXIST` … */
export function hasErrorCode(error: unknown, ...codes: readonly string[]): boolean {
  return (
    error instanceof Error && "code" in error && typeof error.code === "string" && codes.includes(error.code)
  );
}

/** Undefined instead of a failure where what was to be read or removed is not there, or no longer. */
export async function ignoreMissing<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if (hasErrorCode(error, "ENOENT", "ENOTDIR")) return undefined;
    throw error;
  }
}
