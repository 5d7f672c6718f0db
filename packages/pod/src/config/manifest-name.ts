// SPDX-License-Identifier: Apache-2.0

/** What editors, package managers and transfer tools leave beside a file while they work, or for good. */
const TEMPORARY = [
  /~$/,
  /^#.*#$/,
  /\.sw[a-p]$/,
  /\.(?:tmp|temp|bak|orig|rej|part|filepart|lock)$/,
  /\.(?:dpkg|rpm|ucf)[a-z-]*$/,
  /^4913$/, // vim probes with this name whether it may write here
];

/**
 * Whether a file of this name is read as a manifest. kubelet: every name that does not begin with a dot; here editors' temporary and
 * backup files are left out too. The extension does not matter.
 */
export function isManifestName(name: string): boolean {
  return name !== "" && !name.startsWith(".") && !TEMPORARY.some((pattern) => pattern.test(name));
}
