// SPDX-License-Identifier: Apache-2.0

/**
 * The podresources API for monitoring on the node: version v1, and v1alpha1's List for old programs. kubelet: podresources/server_v1.go, server_v1alpha1.go.
 *
 * Owns: its socket, the bucket that bounds requests. Reads: pods, records, pools. Lost on a crash: nothing.
 */
import { status } from "@grpc/grpc-js";
import type { sendUnaryData, ServerUnaryCall } from "@grpc/grpc-js";
import type { Clock } from "@holdfast/core/clock";
import { errorText } from "@holdfast/core/errors";
import type { Component, Health } from "@holdfast/core/lifecycle";
import { silentLogger } from "@holdfast/core/log";
import type { Logger } from "@holdfast/core/log";
import { noMetrics } from "@holdfast/core/metrics";
import type { Metrics } from "@holdfast/core/metrics";
import {
  computeAllocatableDevices,
  computePodResources,
  memoryEntry,
  NO_DEDICATED,
} from "../compute-pod-resources.ts";
import type { DedicatedResources } from "../compute-pod-resources.ts";
import type { DeviceManager } from "../device-manager.ts";
import { PodResourcesListerService } from "../gen/podresources/v1/podresources.ts";
import type {
  GetPodResourcesRequest,
  ListPodResourcesResponse,
  PodResourcesListerServer,
} from "../gen/podresources/v1/podresources.ts";
import type { ListedPod } from "../ports.ts";
import { UnixServer } from "./unix-server.ts";

/** kubelet: ROOT/pod-resources/kubelet.sock. */
export const POD_RESOURCES_SOCKET = "/var/lib/kubelet/pod-resources/kubelet.sock";

/** How a server is made. */
export interface PodResourcesServerOptions {
  /** Default {@link POD_RESOURCES_SOCKET}. */
  readonly path?: string;
  readonly manager: Pick<DeviceManager, "records" | "pools" | "collectGarbage">;
  readonly clock: Pick<Clock, "monotonic">;
  /** Pods that have not ended. */
  readonly activePods: () => readonly ListedPod[];
  /** All pods, ended ones too; for Get. Default: the active ones. */
  readonly allPods?: () => readonly ListedPod[];
  readonly dedicated?: DedicatedResources;
  readonly logger?: Logger;
  readonly metrics?: Metrics;
}

/** kubelet: DefaultQPS, DefaultBurstTokens. */
const PER_SECOND = 100;
const BURST = 10;
type Version = "v1" | "v1alpha1";
/** Its messages are the first fields of v1's. */
const ALPHA_SERVICE = {
  list: { ...PodResourcesListerService.list, path: "/v1alpha1.PodResourcesLister/List" },
};

/** See the top of the file. */
export class PodResourcesServer implements Component {
  readonly name = "pod-resources";
  readonly path: string;
  readonly #options: PodResourcesServerOptions;
  readonly #server: UnixServer;
  readonly #logger: Logger;
  readonly #metrics: Metrics;
  #tokens = BURST;
  #filledAt: number;
  #problem: string | undefined;

  constructor(options: PodResourcesServerOptions) {
    this.#options = options;
    this.#logger = options.logger ?? silentLogger;
    this.#metrics = options.metrics ?? noMetrics;
    this.#filledAt = options.clock.monotonic();
    this.path = options.path ?? POD_RESOURCES_SOCKET;
    this.#server = new UnixServer({
      path: this.path,
      services: (server) => {
        server.addService(PodResourcesListerService, this.#handlers());
        server.addService(ALPHA_SERVICE, {
          list: this.#answering("v1alpha1", "list", () => this.#oldList()),
        });
      },
    });
  }

  /** A socket that cannot be made is told in health; nothing else hangs on it. */
  async start(): Promise<void> {
    try {
      await this.#server.start();
      this.#problem = undefined;
    } catch (error) {
      this.#problem = `the podresources API is not served: ${errorText(error)}`;
      this.#logger.error("the podresources API is not served", { socket: this.path, err: errorText(error) });
    }
  }

  async stop(): Promise<void> {
    await this.#server.stop();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  health(): Health {
    return { failures: this.#problem === undefined ? [] : [this.#problem] };
  }

  #handlers(): PodResourcesListerServer {
    const { manager, activePods, allPods = activePods, dedicated = NO_DEDICATED } = this.#options;
    return {
      list: this.#answering("v1", "list", () => {
        manager.collectGarbage();
        const podResources = activePods().map((pod) => computePodResources(pod, manager.records, dedicated));
        return { podResources };
      }),
      getAllocatableResources: this.#answering("v1", "get_allocatable", () => ({
        devices: computeAllocatableDevices(manager.pools()),
        cpuIds: [...dedicated.allocatableCpus()],
        memory: dedicated.allocatableMemory().map(memoryEntry),
      })),
      get: this.#answering("v1", "get", ({ podName, podNamespace }: GetPodResourcesRequest) => {
        const pod = allPods().find(
          ({ metadata }) => metadata.name === podName && metadata.namespace === podNamespace,
        );
        if (pod === undefined) throw new Error(`pod ${podName} in namespace ${podNamespace} not found`);
        return { podResources: computePodResources(pod, manager.records, dedicated) };
      }),
    };
  }

  /** App containers and the ids of their devices, nothing else. */
  #oldList(): ListPodResourcesResponse {
    const { manager, activePods } = this.#options;
    manager.collectGarbage();
    const podResources = activePods().map((pod) => {
      const { containers, ...whose } = computePodResources(pod, manager.records, NO_DEDICATED);
      const apps = new Set(pod.spec.containers.map(({ name }) => name));
      const shown = containers
        .filter(({ name }) => apps.has(name))
        .map((one) => ({ ...one, devices: one.devices.map((given) => ({ ...given, topology: undefined })) }));
      return { ...whose, containers: shown };
    });
    return { podResources };
  }

  #answering<Request, Response>(
    version: Version,
    kind: "list" | "get_allocatable" | "get",
    answer: (request: Request) => Response,
  ): (call: ServerUnaryCall<Request, Response>, reply: sendUnaryData<Response>) => void {
    const count = (name: string, help: string): void =>
      this.#metrics
        .counter(`kubelet_pod_resources_endpoint_${name}`, help)
        .inc({ server_api_version: version });
    return (call, reply) => {
      if (!this.#take()) {
        reply({ code: status.RESOURCE_EXHAUSTED, details: `${call.getPath()} is rejected by rate limit` });
        return;
      }
      count("requests_total", "Requests to the podresources API.");
      count(`requests_${kind}`, "Requests to the podresources API, of one kind.");
      try {
        reply(null, answer(call.request));
      } catch (error) {
        count(`errors_${kind}`, "Failed requests to the podresources API, of one kind.");
        reply({ code: status.UNKNOWN, details: errorText(error) });
      }
    };
  }

  #take(): boolean {
    const now = this.#options.clock.monotonic();
    this.#tokens = Math.min(BURST, this.#tokens + ((now - this.#filledAt) / 1000) * PER_SECOND);
    this.#filledAt = now;
    if (this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }
}
