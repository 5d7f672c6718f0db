// SPDX-License-Identifier: Apache-2.0

import type { PodList } from "../api/types.ts";
import type { CommandContext } from "./command.ts";
import { CommandError, textOption } from "./command.ts";

/** The API path of the pod that `NAME`, `NS/NAME` or `-n NS NAME` means; without a namespace the name must be the only one. */
export async function podPath(context: CommandContext, given: string): Promise<string> {
  const slash = given.indexOf("/");
  const name = given.slice(slash + 1);
  const namespace = slash > 0 ? given.slice(0, slash) : textOption(context, "namespace");
  if (namespace !== undefined) return path(namespace, name);
  const { items } = await context.client.get<PodList>("/api/v1/pods");
  // A static pod carries its node's name behind its own: both are understood.
  const exact = items.filter((pod) => pod.metadata.name === name);
  const found =
    exact.length > 0
      ? exact
      : items.filter((pod) => pod.metadata.name === `${name}-${pod.spec.nodeName ?? ""}`);
  const [first] = found;
  if (first === undefined)
    throw new CommandError(`there is no pod "${name}"`, { next: "holdfast get pods lists them" });
  if (new Set(found.map((pod) => pod.metadata.namespace)).size > 1) {
    throw new CommandError(`pod "${name}" is in several namespaces`, {
      exitCode: 2,
      next: `name one: ${found.map((pod) => `${pod.metadata.namespace}/${name}`).join(", ")}`,
    });
  }
  return path(first.metadata.namespace, first.metadata.name);
}

function path(namespace: string, name: string): string {
  return `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods/${encodeURIComponent(name)}`;
}
