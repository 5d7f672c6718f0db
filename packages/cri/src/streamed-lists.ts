// SPDX-License-Identifier: Apache-2.0
//
// Lists without a ceiling. A unary answer ends at 16 MiB, at about 18,000 containers; since CRI 1.36 a runtime may send the same list in parts. No
// containerd to date does: the first question is answered with UNIMPLEMENTED, and that is remembered until the connection is lost, since another
// version may be there after that. A list that breaks off half-way is an error, never a shorter list. kubelet: CRIListStreaming.

import { isUnimplemented } from "@holdfast/core/errors";

import { CriError } from "./errors.ts";
import type { CriCallOptions, CriRuntimeService, CriStream, CriUnary } from "./services.ts";

/** What the runtime answered last. One for all lists of a connection. */
interface Memory {
  unsupported: boolean;
}

/** `service`, whose lists of sandboxes and containers are asked for in parts where the runtime has that. */
export function withStreamedLists(service: CriRuntimeService): CriRuntimeService {
  const memory: Memory = { unsupported: false };
  return {
    ...service,
    listPodSandbox: streamedOr(
      memory,
      service.streamPodSandboxes,
      ({ podSandboxes }) => podSandboxes,
      service.listPodSandbox,
      (items) => ({ items }),
    ),
    listContainers: streamedOr(
      memory,
      service.streamContainers,
      ({ containers }) => containers,
      service.listContainers,
      (containers) => ({ containers }),
    ),
  };
}

function streamedOr<Request, Part, Item, Response>(
  memory: Memory,
  stream: CriStream<Request, Part>,
  itemsOf: (part: Part) => readonly Item[],
  unary: CriUnary<Request, Response>,
  answer: (items: Item[]) => Response,
): CriUnary<Request, Response> {
  return async (request, options) => {
    try {
      if (!memory.unsupported) return answer(await collect(stream(request, options), itemsOf, options));
    } catch (error) {
      if (!isUnimplemented(error)) throw error;
      memory.unsupported = true;
    }
    try {
      return await unary(request, options);
    } catch (error) {
      if (error instanceof CriError && error.code === "CRI_UNAVAILABLE") memory.unsupported = false;
      throw error;
    }
  };
}

async function collect<Part, Item>(
  parts: AsyncIterable<Part>,
  itemsOf: (part: Part) => readonly Item[],
  options: CriCallOptions | undefined,
): Promise<Item[]> {
  const items: Item[] = [];
  for await (const part of parts) for (const item of itemsOf(part)) items.push(item);
  // A stream just ends when it is given up.
  options?.signal?.throwIfAborted();
  return items;
}
