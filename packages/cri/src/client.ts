// SPDX-License-Identifier: Apache-2.0
//
// The client: one connection, two services, containerd's events. kubelet: pkg/kubelet/cri/remote.
// Owns its connections and the table of interned strings. Keeps no state about containers: a crash or a close loses calls only.

import { createCallMetrics } from "./call-metrics.ts";
import { Ceiling } from "./ceiling.ts";
import { Connection } from "./connection.ts";
import type { CriCallInFlight } from "./connection.ts";
import { subscribeMethod, TASK_FILTERS } from "./containerd-events.ts";
import type { ContainerdTaskEvent } from "./containerd-events.ts";
import { removingLeftTasks } from "./left-tasks.ts";
import { createImageService } from "./image-service.ts";
import { StringTable } from "./interning-reader.ts";
import { withStreamedImages, withStreamedLists } from "./streamed-lists.ts";
import { resolveOptions } from "./options.ts";
import type { CriClientOptions } from "./options.ts";
import { createRuntimeService } from "./runtime-service.ts";
import type { CriImageService, CriRuntimeService } from "./services.ts";

/** How containerd's events are asked for. */
export interface ContainerdEventsOptions {
  /** Ends the stream silently. Without it, leave the loop. */
  readonly signal?: AbortSignal | undefined;
  /** containerd's filters, alternatives. Default: start, exit, delete and oom of tasks in namespace k8s.io. */
  readonly filters?: readonly string[] | undefined;
}

/** A CRI runtime on a socket. */
export interface CriClient extends CriRuntimeService, CriImageService, AsyncDisposable {
  /** Where the runtime is: `unix:///run/containerd/containerd.sock`. */
  readonly endpoint: string;
  /**
   * containerd's own task events. Endless; ends with `CRI_UNAVAILABLE` when the connection is lost (subscribe again, then list) and with
   * `CRI_UNIMPLEMENTED` on a runtime that is not containerd. The subscription is made at once.
   */
  containerdEvents(options?: ContainerdEventsOptions): AsyncIterableIterator<ContainerdTaskEvent>;
  /** Calls in flight, oldest first within each service: what is hung, on what, for how long. */
  inFlight(): CriCallInFlight[];
  /** Rejects calls in flight with `CRI_CLOSED`, ends streams with it, closes the connection. Touches no container. */
  close(): Promise<void>;
}

/** Makes a client. Connects with the first call; throws `CRI_OPTIONS` on options that make no sense. */
export function createCriClient(options: CriClientOptions): CriClient {
  const resolved = resolveOptions(options);
  const { endpoint, imageEndpoint, logger } = resolved;
  const metrics = createCallMetrics(resolved.metrics);
  const ceiling = new Ceiling(resolved);
  const connection = new Connection({ ...resolved, metrics, ceiling });
  const images =
    imageEndpoint === endpoint
      ? connection
      : new Connection({ ...resolved, endpoint: imageEndpoint, metrics, ceiling });
  const intern = resolved.internedStrings === 0 ? undefined : new StringTable(resolved.internedStrings);
  const subscribe = subscribeMethod();
  const close = (): Promise<void> => {
    connection.close();
    images.close();
    return Promise.resolve();
  };
  logger.debug("cri client made", { endpoint, imageEndpoint });
  return {
    ...withStreamedLists(
      removingLeftTasks(createRuntimeService(connection, intern), connection, logger),
      connection,
    ),
    ...withStreamedImages(createImageService(images, intern), images),
    endpoint,
    containerdEvents({ signal, filters = TASK_FILTERS } = {}) {
      return connection.stream(subscribe, { filters: [...filters] }, { signal });
    },
    inFlight: () =>
      images === connection ? connection.inFlight() : [...connection.inFlight(), ...images.inFlight()],
    close,
    [Symbol.asyncDispose]: close,
  };
}
