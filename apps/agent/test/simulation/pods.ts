// SPDX-License-Identifier: Apache-2.0

/** Manifests for simulations. A container's program is its command, as data. */
import type { Program } from "@holdfast/cri-fake";

/** Deliberately untyped, as what people write. */
export type Fields = Readonly<Record<string, unknown>>;

export const IMAGE = "holdfast.local/busybox:1";

/** A container that carries a program out; one without runs until it is stopped. */
export function container(name: string, program: Program = {}, over: Fields = {}): Fields {
  return { name, image: IMAGE, command: ["run", JSON.stringify(program)], ...over };
}

/** A manifest of one pod, as text. `version` makes it another one: a static pod's UID is its document's hash. */
export function manifest(name: string, spec: Fields = {}, version = 1): string {
  return JSON.stringify({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, labels: { version: String(version) } },
    spec: { containers: [container("main")], terminationGracePeriodSeconds: 2, ...spec },
  });
}
