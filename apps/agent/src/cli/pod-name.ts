// SPDX-License-Identifier: Apache-2.0

import type { PodList, PodObject } from "../api/types.ts";
import type { CommandContext } from "./command.ts";
import { CommandError, textOption } from "./command.ts";

/** The API path of the pod that `NAME`, `NS/NAME` or `-n NS NAME` means; without a namespace the name must be the only one. */
export async function podPath(context: CommandContext, given: string): Promise<string> {
  const { namespace, name } = written(context, given);
  const found = await living(context, name, namespace);
  if (found.length > 0) return path(...split(only(name, found)));
  const where = namespace === undefined ? "" : ` in namespace "${namespace}"`;
  throw new CommandError(`there is no pod "${name}"${where}`, { next: "holdfast get pods lists them" });
}

/** Tells which pods `NAME`, `NS/NAME` and `-n NS` mean; without any of them all are meant. */
export function podFilter(context: CommandContext, given: string | undefined): (pod: PodObject) => boolean {
  const { namespace, name } =
    given === undefined
      ? { namespace: textOption(context, "namespace"), name: undefined }
      : written(context, given);
  return (pod) =>
    (namespace === undefined || pod.metadata.namespace === namespace) &&
    (name === undefined || pod.metadata.name === name || pod.metadata.name === suffixed(name, pod));
}

/** `NS/NAME` of the same, also of a pod that is gone and of which only the journal knows. */
export async function podOfHistory(context: CommandContext, given: string): Promise<string> {
  const { namespace, name } = written(context, given);
  const found = await living(context, name, namespace);
  if (found.length > 0) return only(name, found);
  if (namespace !== undefined) return `${namespace}/${name}`;
  const query = new URLSearchParams({ name });
  const { items } = await context.client.get<{ items: readonly string[] }>(`/api/v1/journal/pods?${query}`);
  if (items.length > 0) return only(name, items);
  throw new CommandError(`nothing is known of a pod "${name}"`, {
    next: "holdfast get pods lists those that are there; of others give NAMESPACE/NAME as it was",
  });
}

function written(
  context: CommandContext,
  given: string,
): { readonly namespace: string | undefined; readonly name: string } {
  const slash = given.indexOf("/");
  const name = given.slice(slash + 1);
  return { name, namespace: slash > 0 ? given.slice(0, slash) : textOption(context, "namespace") };
}

/** A static pod carries its node's name behind its own: both are understood. */
async function living(
  context: CommandContext,
  name: string,
  namespace: string | undefined,
): Promise<readonly string[]> {
  const { items } = await context.client.get<PodList>("/api/v1/pods");
  const here = items.filter((pod) => namespace === undefined || pod.metadata.namespace === namespace);
  const exact = here.filter((pod) => pod.metadata.name === name);
  const found = exact.length > 0 ? exact : here.filter((pod) => pod.metadata.name === suffixed(name, pod));
  return found.map(({ metadata }) => `${metadata.namespace}/${metadata.name}`);
}

function suffixed(name: string, pod: PodObject): string {
  return `${name}-${pod.spec.nodeName ?? ""}`;
}

function only(name: string, found: readonly string[]): string {
  if (new Set(found).size > 1) {
    throw new CommandError(`pod "${name}" is in several namespaces`, {
      exitCode: 2,
      next: `name one: ${[...new Set(found)].join(", ")}`,
    });
  }
  return found[0] ?? name;
}

function split(pod: string): [namespace: string, name: string] {
  const slash = pod.indexOf("/");
  return [pod.slice(0, slash), pod.slice(slash + 1)];
}

function path(namespace: string, name: string): string {
  return `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods/${encodeURIComponent(name)}`;
}
