// SPDX-License-Identifier: Apache-2.0

/** Pure: names of log files, as the kubelet makes them. */

/** `ROOT/NAMESPACE_NAME_UID/CONTAINER`. */
export function containerLogFolder(
  root: string,
  pod: { readonly podNamespace: string; readonly podName: string; readonly podUid: string },
  container: string,
): string {
  return `${root}/${pod.podNamespace}_${pod.podName}_${pod.podUid}/${container}`;
}

/** The longest base name of a link, without its ending. */
const MAX_LINK_BASE = 251;

/** `ROOT/POD_NAMESPACE_CONTAINER-ID.log`: where log collectors look. kubelet: legacyLogSymlink. */
export function legacyLogLink(
  root: string,
  pod: { readonly podNamespace: string; readonly podName: string },
  container: string,
  containerId: string,
): string {
  const base = `${pod.podName}_${pod.podNamespace}_${container}-${containerId}`.slice(0, MAX_LINK_BASE);
  return `${root}/${base}.log`;
}

/** Whether a file in a container's log folder is of that attempt: `3.log`, `3.log.20240102-030405.gz`. */
export function isLogOfAttempt(name: string, attempt: number): boolean {
  return name.startsWith(`${attempt}.log`);
}

/** The attempt that a file is of; undefined when it is no log. */
export function attemptOfLog(name: string): number | undefined {
  const match = /^(\d{1,9})\.log(?:\.|$)/.exec(name);
  return match === null ? undefined : Number(match[1]);
}

const TIME_DIGITS = 2;

/** `YYYYMMDD-HHMMSS` in UTC: a local clock that is set back in autumn would make older files look newer. */
export function rotationSuffix(wallMs: number): string {
  const date = new Date(wallMs);
  const two = (value: number): string => String(value).padStart(TIME_DIGITS, "0");
  const day = `${date.getUTCFullYear()}${two(date.getUTCMonth() + 1)}${two(date.getUTCDate())}`;
  return `${day}-${two(date.getUTCHours())}${two(date.getUTCMinutes())}${two(date.getUTCSeconds())}`;
}

/** Without the ending that compression adds. */
export function uncompressedName(name: string): string {
  return name.endsWith(COMPRESSED) ? name.slice(0, -COMPRESSED.length) : name;
}

/** Ending of compressed logs. */
export const COMPRESSED = ".gz";
/** Ending of files that are being written. */
export const TEMPORARY = ".tmp";
