// SPDX-License-Identifier: Apache-2.0

/** Small pods around the local images. */

export const BUSYBOX = "holdfast.local/busybox:1";
export const NONROOT = "holdfast.local/busybox-nonroot:1";

/** What may be written into the folder; deliberately untyped: wrong ones are written too. */
export type Manifest = Readonly<Record<string, unknown>>;

/** Runs until SIGTERM, and then ends at once: as PID 1 a shell needs a handler for that. */
export function forever(before = ""): string[] {
  return ["sh", "-c", `trap "exit 0" TERM; ${before === "" ? "" : `${before}; `}sleep 1000000 & wait`];
}

/** One container of {@link BUSYBOX} that runs for ever, unless told otherwise. */
export function container(name: string, over: Manifest = {}): Manifest {
  return { name, image: BUSYBOX, command: forever(), ...over };
}

/** A pod with the given containers (default: one that runs for ever) and one second of grace. */
export function pod(name: string, spec: Manifest = {}, metadata: Manifest = {}): Manifest {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, ...metadata },
    spec: { terminationGracePeriodSeconds: 1, containers: [container("main")], ...spec },
  };
}

/** The shell script as the container's command. */
export function script(text: string): string[] {
  return ["sh", "-c", text];
}
