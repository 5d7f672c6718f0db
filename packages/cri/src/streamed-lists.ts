// SPDX-License-Identifier: Apache-2.0
//
// Lists without a ceiling. A unary answer ends at 16 MiB, at about 18,000 containers; since CRI 1.36 a runtime may send the same list in parts. No
// containerd to date does: the first question is answered with UNIMPLEMENTED, and that is remembered, list by list, until the connection is lost, since
// another version may be there after that. A list that breaks off half-way is an error, never a shorter list. kubelet: CRIListStreaming.

import { isUnimplemented } from "@holdfast/core/errors";

import type { CriCallOptions, CriImageService, CriRuntimeService, CriStream, CriUnary } from "./services.ts";

/** What tells one connection from the next. */
interface Connected {
  readonly generation: number;
}

/** `service`, whose lists are asked for in parts where the runtime has that. */
export function withStreamedLists(service: CriRuntimeService, connection: Connected): CriRuntimeService {
  return {
    ...service,
    listPodSandbox: streamedOr(
      connection,
      service.streamPodSandboxes,
      ({ podSandboxes }) => podSandboxes,
      service.listPodSandbox,
      (items) => ({ items }),
    ),
    listContainers: streamedOr(
      connection,
      service.streamContainers,
      ({ containers }) => containers,
      service.listContainers,
      (containers) => ({ containers }),
    ),
    listContainerStats: streamedOr(
      connection,
      service.streamContainerStats,
      ({ containerStats }) => containerStats,
      service.listContainerStats,
      (stats) => ({ stats }),
    ),
    listPodSandboxStats: streamedOr(
      connection,
      service.streamPodSandboxStats,
      ({ podSandboxStats }) => podSandboxStats,
      service.listPodSandboxStats,
      (stats) => ({ stats }),
    ),
    listPodSandboxMetrics: streamedOr(
      connection,
      service.streamPodSandboxMetrics,
      ({ podSandboxMetrics }) => podSandboxMetrics,
      service.listPodSandboxMetrics,
      (podMetrics) => ({ podMetrics }),
    ),
  };
}

/** As {@link withStreamedLists}, for the list of images. */
export function withStreamedImages(service: CriImageService, connection: Connected): CriImageService {
  return {
    ...service,
    listImages: streamedOr(
      connection,
      service.streamImages,
      ({ images }) => images,
      service.listImages,
      (images) => ({ images }),
    ),
  };
}

function streamedOr<Request, Part, Item, Response>(
  connection: Connected,
  stream: CriStream<Request, Part>,
  itemsOf: (part: Part) => readonly Item[],
  unary: CriUnary<Request, Response>,
  answer: (items: Item[]) => Response,
): CriUnary<Request, Response> {
  /** The generation of the connection on which the runtime did not know it. */
  let unknownOn = -1;
  return async (request, options) => {
    const { generation } = connection;
    if (unknownOn !== generation) {
      try {
        return answer(await collect(stream(request, options), itemsOf, options));
      } catch (error) {
        if (!isUnimplemented(error)) throw error;
        unknownOn = generation;
      }
    }
    return unary(request, options);
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
