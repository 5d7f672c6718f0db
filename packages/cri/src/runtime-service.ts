// SPDX-License-Identifier: Apache-2.0
//
// RuntimeService, RPC by RPC: the kubelet's operation type, what the call is about, how long it may take, and whether its strings
// repeat from poll to poll (then they are read through the interning table).

import type { Connection } from "./connection.ts";
import { allowedThenTimeout, endless, execTimeout, sandboxStart } from "./deadlines.ts";
import * as rt from "./gen/runtime/v1/runtime.ts";
import type { StringTable } from "./interning-reader.ts";
import { method } from "./method.ts";
import type { Codec, Definition, MethodTraits } from "./method.ts";
import type { CriRuntimeService, CriStream } from "./services.ts";
import { unaryOn } from "./unary.ts";

const aboutContainer = (request: { containerId?: string }): string | undefined => request.containerId;
const aboutSandbox = (request: { podSandboxId?: string }): string | undefined => request.podSandboxId;

/** A sandbox that has no id yet goes by the name of its pod. */
const aboutNewSandbox = (request: {
  config?: { metadata?: { namespace?: string; name?: string } | undefined } | undefined;
}): string | undefined => {
  const metadata = request.config?.metadata;
  return metadata === undefined ? undefined : `${metadata.namespace ?? ""}/${metadata.name ?? ""}`;
};

/** A container that has no id yet goes by its name and its sandbox. */
const aboutNewContainer = (request: {
  podSandboxId?: string;
  config?: { metadata?: { name?: string } | undefined } | undefined;
}): string => `${request.config?.metadata?.name ?? ""} in ${request.podSandboxId ?? ""}`;

/** Puts the service together. `intern` is shared with the image service; undefined reads strings plainly. */
export function createRuntimeService(
  connection: Connection,
  intern: StringTable | undefined,
): CriRuntimeService {
  const unary = unaryOn(connection);
  return {
    ...createRuntime(unary),
    ...createSandboxes(unary, intern),
    ...createContainers(unary, intern),
    ...createExec(unary),
    ...createFigures(unary, intern),
    ...createStreams(connection, intern),
  };
}

type Streams = Pick<
  CriRuntimeService,
  Extract<keyof CriRuntimeService, `stream${string}` | "getContainerEvents">
>;
type MakeUnary = ReturnType<typeof unaryOn>;

const rpc = rt.RuntimeServiceService;

function createRuntime(
  unary: MakeUnary,
): Pick<CriRuntimeService, "version" | "status" | "runtimeConfig" | "updateRuntimeConfig"> {
  return {
    version: unary(rpc.version, "version", rt.VersionRequest, rt.VersionResponse),
    status: unary(rpc.status, "status", rt.StatusRequest, rt.StatusResponse),
    runtimeConfig: unary(
      rpc.runtimeConfig,
      "runtime_config",
      rt.RuntimeConfigRequest,
      rt.RuntimeConfigResponse,
    ),
    updateRuntimeConfig: unary(
      rpc.updateRuntimeConfig,
      "update_runtime_config",
      rt.UpdateRuntimeConfigRequest,
      rt.UpdateRuntimeConfigResponse,
    ),
  };
}

function createSandboxes(
  unary: MakeUnary,
  intern: StringTable | undefined,
): Pick<
  CriRuntimeService,
  | "runPodSandbox"
  | "stopPodSandbox"
  | "removePodSandbox"
  | "podSandboxStatus"
  | "listPodSandbox"
  | "updatePodSandboxResources"
  | "portForward"
> {
  return {
    runPodSandbox: unary(
      rpc.runPodSandbox,
      "run_podsandbox",
      rt.RunPodSandboxRequest,
      rt.RunPodSandboxResponse,
      { target: aboutNewSandbox, deadline: sandboxStart },
    ),
    stopPodSandbox: unary(
      rpc.stopPodSandbox,
      "stop_podsandbox",
      rt.StopPodSandboxRequest,
      rt.StopPodSandboxResponse,
      { target: aboutSandbox },
    ),
    removePodSandbox: unary(
      rpc.removePodSandbox,
      "remove_podsandbox",
      rt.RemovePodSandboxRequest,
      rt.RemovePodSandboxResponse,
      { target: aboutSandbox },
    ),
    podSandboxStatus: unary(
      rpc.podSandboxStatus,
      "podsandbox_status",
      rt.PodSandboxStatusRequest,
      rt.PodSandboxStatusResponse,
      { target: aboutSandbox, intern },
    ),
    listPodSandbox: unary(
      rpc.listPodSandbox,
      "list_podsandbox",
      rt.ListPodSandboxRequest,
      rt.ListPodSandboxResponse,
      { intern },
    ),
    updatePodSandboxResources: unary(
      rpc.updatePodSandboxResources,
      "update_podsandbox_resources",
      rt.UpdatePodSandboxResourcesRequest,
      rt.UpdatePodSandboxResourcesResponse,
      { target: aboutSandbox },
    ),
    portForward: unary(rpc.portForward, "port_forward", rt.PortForwardRequest, rt.PortForwardResponse, {
      target: aboutSandbox,
    }),
  };
}

function createContainers(
  unary: MakeUnary,
  intern: StringTable | undefined,
): Pick<
  CriRuntimeService,
  | "createContainer"
  | "startContainer"
  | "stopContainer"
  | "removeContainer"
  | "listContainers"
  | "containerStatus"
  | "updateContainerResources"
  | "reopenContainerLog"
  | "checkpointContainer"
> {
  return {
    createContainer: unary(
      rpc.createContainer,
      "create_container",
      rt.CreateContainerRequest,
      rt.CreateContainerResponse,
      { target: aboutNewContainer },
    ),
    startContainer: unary(
      rpc.startContainer,
      "start_container",
      rt.StartContainerRequest,
      rt.StartContainerResponse,
      { target: aboutContainer },
    ),
    stopContainer: unary(
      rpc.stopContainer,
      "stop_container",
      rt.StopContainerRequest,
      rt.StopContainerResponse,
      { target: aboutContainer, deadline: allowedThenTimeout },
    ),
    removeContainer: unary(
      rpc.removeContainer,
      "remove_container",
      rt.RemoveContainerRequest,
      rt.RemoveContainerResponse,
      { target: aboutContainer },
    ),
    listContainers: unary(
      rpc.listContainers,
      "list_containers",
      rt.ListContainersRequest,
      rt.ListContainersResponse,
      { intern },
    ),
    containerStatus: unary(
      rpc.containerStatus,
      "container_status",
      rt.ContainerStatusRequest,
      rt.ContainerStatusResponse,
      { target: aboutContainer, intern },
    ),
    updateContainerResources: unary(
      rpc.updateContainerResources,
      "update_container",
      rt.UpdateContainerResourcesRequest,
      rt.UpdateContainerResourcesResponse,
      { target: aboutContainer },
    ),
    reopenContainerLog: unary(
      rpc.reopenContainerLog,
      "reopen_container_log",
      rt.ReopenContainerLogRequest,
      rt.ReopenContainerLogResponse,
      { target: aboutContainer },
    ),
    checkpointContainer: unary(
      rpc.checkpointContainer,
      "checkpoint_container",
      rt.CheckpointContainerRequest,
      rt.CheckpointContainerResponse,
      { target: aboutContainer, deadline: allowedThenTimeout },
    ),
  };
}

function createExec(unary: MakeUnary): Pick<CriRuntimeService, "execSync" | "exec" | "attach"> {
  return {
    execSync: unary(rpc.execSync, "exec_sync", rt.ExecSyncRequest, rt.ExecSyncResponse, {
      target: aboutContainer,
      deadline: execTimeout,
    }),
    exec: unary(rpc.exec, "exec", rt.ExecRequest, rt.ExecResponse, { target: aboutContainer }),
    attach: unary(rpc.attach, "attach", rt.AttachRequest, rt.AttachResponse, { target: aboutContainer }),
  };
}

function createFigures(
  unary: MakeUnary,
  intern: StringTable | undefined,
): Pick<
  CriRuntimeService,
  | "containerStats"
  | "listContainerStats"
  | "podSandboxStats"
  | "listPodSandboxStats"
  | "listMetricDescriptors"
  | "listPodSandboxMetrics"
> {
  return {
    containerStats: unary(
      rpc.containerStats,
      "container_stats",
      rt.ContainerStatsRequest,
      rt.ContainerStatsResponse,
      { target: aboutContainer, intern },
    ),
    listContainerStats: unary(
      rpc.listContainerStats,
      "list_container_stats",
      rt.ListContainerStatsRequest,
      rt.ListContainerStatsResponse,
      { intern },
    ),
    podSandboxStats: unary(
      rpc.podSandboxStats,
      "podsandbox_stats",
      rt.PodSandboxStatsRequest,
      rt.PodSandboxStatsResponse,
      { target: aboutSandbox, intern },
    ),
    listPodSandboxStats: unary(
      rpc.listPodSandboxStats,
      "list_podsandbox_stats",
      rt.ListPodSandboxStatsRequest,
      rt.ListPodSandboxStatsResponse,
      { intern },
    ),
    listMetricDescriptors: unary(
      rpc.listMetricDescriptors,
      "list_metric_descriptors",
      rt.ListMetricDescriptorsRequest,
      rt.ListMetricDescriptorsResponse,
    ),
    listPodSandboxMetrics: unary(
      rpc.listPodSandboxMetrics,
      "list_podsandbox_metrics",
      rt.ListPodSandboxMetricsRequest,
      rt.ListPodSandboxMetricsResponse,
      { intern },
    ),
  };
}

function createStreams(connection: Connection, intern: StringTable | undefined): Streams {
  const stream = <Request, Response>(
    definition: Definition<Request, Response>,
    operation: string,
    request: Codec<Request>,
    response: Codec<Response>,
    traits: MethodTraits<Request> = { intern },
  ): CriStream<Request, Response> => {
    const made = method(definition, operation, request, response, traits);
    return (partial, options) => connection.stream(made, partial, options);
  };
  return {
    streamPodSandboxes: stream(
      // The same question as the unary list, so the same operation.
      rpc.streamPodSandboxes,
      "list_podsandbox",
      rt.StreamPodSandboxesRequest,
      rt.StreamPodSandboxesResponse,
    ),
    streamContainers: stream(
      rpc.streamContainers,
      "list_containers",
      rt.StreamContainersRequest,
      rt.StreamContainersResponse,
    ),
    streamContainerStats: stream(
      rpc.streamContainerStats,
      "stream_container_stats",
      rt.StreamContainerStatsRequest,
      rt.StreamContainerStatsResponse,
    ),
    streamPodSandboxStats: stream(
      rpc.streamPodSandboxStats,
      "stream_podsandbox_stats",
      rt.StreamPodSandboxStatsRequest,
      rt.StreamPodSandboxStatsResponse,
    ),
    streamPodSandboxMetrics: stream(
      rpc.streamPodSandboxMetrics,
      "stream_podsandbox_metrics",
      rt.StreamPodSandboxMetricsRequest,
      rt.StreamPodSandboxMetricsResponse,
    ),
    getContainerEvents: stream(
      rpc.getContainerEvents,
      "get_container_events",
      rt.GetEventsRequest,
      rt.ContainerEventResponse,
      { deadline: endless, intern },
    ),
  };
}
