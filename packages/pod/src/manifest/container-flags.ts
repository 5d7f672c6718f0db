// SPDX-License-Identifier: Apache-2.0

/**
 * A yes or no by container, from an annotation: `true`, or `false; worker: true`. Pure. One for a container goes before the one for all.
 */
import { allContainers } from "@holdfast/core/pod";
import type { Pod } from "@holdfast/core/pod-types";

/** The annotation, read. With a problem none of it counts: bad input is never obeyed half. */
export interface ContainerFlags {
  /** By container name; "" is for all others. */
  readonly byContainer: ReadonlyMap<string, boolean>;
  /** Without the annotation's name; undefined when nothing is wrong. */
  readonly problem: string | undefined;
}

/** Reads the annotation's text; `names` are the pod's containers. */
export function parseContainerFlags(text: string, names: readonly string[]): ContainerFlags {
  const byContainer = new Map<string, boolean>();
  const refused = (problem: string): ContainerFlags => ({ byContainer: new Map(), problem });
  for (const entry of text.split(";")) {
    if (entry.trim() === "") continue;
    const colon = entry.indexOf(":");
    const name = colon === -1 ? "" : entry.slice(0, colon).trim();
    const value = entry.slice(colon + 1).trim();
    if (colon !== -1 && !names.includes(name)) return refused(`there is no container "${name.slice(0, 63)}"`);
    if (value !== "true" && value !== "false")
      return refused(`"${value.slice(0, 40)}" is neither true nor false`);
    if (byContainer.has(name))
      return refused(name === "" ? "two are for all" : `two are for container ${name}`);
    byContainer.set(name, value === "true");
  }
  return { byContainer, problem: undefined };
}

/** What the pod's annotation says for one container; undefined when it says nothing. */
export function containerFlag(pod: Pod, annotation: string, container: string): boolean | undefined {
  const text = pod.metadata.annotations?.[annotation];
  if (text === undefined) return undefined;
  const names = allContainers(pod.spec).map(({ name }) => name);
  const { byContainer } = parseContainerFlags(text, names);
  return byContainer.get(container) ?? byContainer.get("");
}
