// SPDX-License-Identifier: Apache-2.0

/** Pure: the two hashes that the kubelet keeps of a container, equal to its own, so that tools and a change of agent see no difference. */
import type { Container, Pod } from "@holdfast/core/pod-types";

const encoder = new TextEncoder();

/**
 * Lower hex of the 32-bit FNV-1a. Only name and image count: a change of anything else never restarts a container.
 * kubelet: HashContainer.
 */
export function hashContainer({ image, name }: Pick<Container, "image" | "name">): string {
  const json = goJson({ image, name });
  // Go hashes its own structural print of the byte slice.
  const text = `([]uint8)[${encoder.encode(json).join(" ")}]`;
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index++)
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193) >>> 0;
  return hash.toString(16);
}

/** The key of a container's crash-loop back-off: another image or other resources start afresh. kubelet: GetBackoffKey. */
export function backoffKey(pod: Pod, container: Container): string {
  const { name, namespace, uid } = pod.metadata;
  const parts = [name, namespace, uid, container.name, container.image, printResources(container)];
  let hash = 0xcbf29ce484222325n;
  for (const byte of encoder.encode(parts.join("/")))
    hash = ((hash ^ BigInt(byte)) * 0x100000001b3n) & 0xffffffffffffffffn;
  return hash.toString(16);
}

/** Go's encoding/json writes these three escaped. */
function goJson(value: unknown): string {
  return JSON.stringify(value).replace(
    /[<>&]/g,
    (char) => `\\u00${char.charCodeAt(0).toString(16).padStart(2, "0")}`,
  );
}

/** Go's String() of ResourceRequirements. Quantities are printed as they are written: only equality counts. */
function printResources({ resources }: Container): string {
  const list = (values: Readonly<Record<string, string | number>> = {}): string =>
    Object.entries(values)
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, value]) => `${key}: {${value}},`)
      .join("");
  return `&ResourceRequirements{Limits:ResourceList{${list(resources?.limits)}},Requests:ResourceList{${list(resources?.requests)}},Claims:[]ResourceClaim{},}`;
}
