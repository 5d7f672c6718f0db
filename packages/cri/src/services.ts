// SPDX-License-Identifier: Apache-2.0
//
// What a CRI client can do, as types only: two services, method by method, named as the CRI names them.
// A double (cri-fake) implements these interfaces; a manager declares a port that picks a few of the methods.

import type {
  ImageFsInfoRequest,
  ImageFsInfoResponse,
  ImageStatusRequest,
  ImageStatusResponse,
  ListImagesRequest,
  ListImagesResponse,
  PullImageRequest,
  PullImageResponse,
  RemoveImageRequest,
  RemoveImageResponse,
  StreamImagesRequest,
  StreamImagesResponse,
} from "./gen/runtime/v1/image.ts";
import type { DeepPartial } from "./gen/runtime/v1/config.ts";
import type * as rt from "./gen/runtime/v1/runtime.ts";

/** How one call is made. */
export interface CriCallOptions {
  /** Gives up the call. A unary call then rejects with the signal's reason; a stream just ends. */
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds until the call is given up with kind `deadline`. Default: by method, see `CriDeadlines`. */
  readonly deadlineMs?: number | undefined;
}

/** One question, one answer. Fields left out of the request have their proto3 defaults. Rejects with a `CriError`. */
export type CriUnary<Request, Response> = (
  request: DeepPartial<Request>,
  options?: CriCallOptions,
) => Promise<Response>;

/**
 * One question, many answers. The call is made at once, not at the first `next()`. It ends silently on its signal, with a
 * `CriError` on failure; leaving the loop cancels it. At most 64 messages wait unread, then the runtime is held back.
 */
export type CriStream<Request, Response> = (
  request: DeepPartial<Request>,
  options?: CriCallOptions,
) => AsyncIterableIterator<Response>;

/** `runtime.v1.RuntimeService`. Times in messages are nanoseconds since the epoch as bigint, timeouts in requests are whole seconds. */
export interface CriRuntimeService {
  readonly version: CriUnary<rt.VersionRequest, rt.VersionResponse>;
  readonly status: CriUnary<rt.StatusRequest, rt.StatusResponse>;
  /** Which cgroup driver the runtime uses. Unimplemented on containerd 1.6 and 1.7. */
  readonly runtimeConfig: CriUnary<rt.RuntimeConfigRequest, rt.RuntimeConfigResponse>;
  readonly updateRuntimeConfig: CriUnary<rt.UpdateRuntimeConfigRequest, rt.UpdateRuntimeConfigResponse>;

  /** After a `deadline` error the sandbox may exist all the same: list before the attempt is raised. */
  readonly runPodSandbox: CriUnary<rt.RunPodSandboxRequest, rt.RunPodSandboxResponse>;
  readonly stopPodSandbox: CriUnary<rt.StopPodSandboxRequest, rt.StopPodSandboxResponse>;
  readonly removePodSandbox: CriUnary<rt.RemovePodSandboxRequest, rt.RemovePodSandboxResponse>;
  readonly podSandboxStatus: CriUnary<rt.PodSandboxStatusRequest, rt.PodSandboxStatusResponse>;
  readonly listPodSandbox: CriUnary<rt.ListPodSandboxRequest, rt.ListPodSandboxResponse>;
  readonly updatePodSandboxResources: CriUnary<
    rt.UpdatePodSandboxResourcesRequest,
    rt.UpdatePodSandboxResourcesResponse
  >;
  readonly portForward: CriUnary<rt.PortForwardRequest, rt.PortForwardResponse>;

  /** After a `deadline` error the container may exist all the same: list before the attempt is raised. */
  readonly createContainer: CriUnary<rt.CreateContainerRequest, rt.CreateContainerResponse>;
  readonly startContainer: CriUnary<rt.StartContainerRequest, rt.StartContainerResponse>;
  /** `timeout` is the grace in seconds; it is added to the call's deadline. */
  readonly stopContainer: CriUnary<rt.StopContainerRequest, rt.StopContainerResponse>;
  readonly removeContainer: CriUnary<rt.RemoveContainerRequest, rt.RemoveContainerResponse>;
  readonly listContainers: CriUnary<rt.ListContainersRequest, rt.ListContainersResponse>;
  readonly containerStatus: CriUnary<rt.ContainerStatusRequest, rt.ContainerStatusResponse>;
  readonly updateContainerResources: CriUnary<
    rt.UpdateContainerResourcesRequest,
    rt.UpdateContainerResourcesResponse
  >;
  readonly reopenContainerLog: CriUnary<rt.ReopenContainerLogRequest, rt.ReopenContainerLogResponse>;
  readonly checkpointContainer: CriUnary<rt.CheckpointContainerRequest, rt.CheckpointContainerResponse>;

  /** `timeout` in whole seconds; when it passes, containerd answers with `CRI_RUNTIME_DEADLINE`. */
  readonly execSync: CriUnary<rt.ExecSyncRequest, rt.ExecSyncResponse>;
  /** Answers with a URL of the runtime's streaming server; talking to that is not this package's work. */
  readonly exec: CriUnary<rt.ExecRequest, rt.ExecResponse>;
  /** As `exec`. */
  readonly attach: CriUnary<rt.AttachRequest, rt.AttachResponse>;

  readonly containerStats: CriUnary<rt.ContainerStatsRequest, rt.ContainerStatsResponse>;
  readonly listContainerStats: CriUnary<rt.ListContainerStatsRequest, rt.ListContainerStatsResponse>;
  readonly podSandboxStats: CriUnary<rt.PodSandboxStatsRequest, rt.PodSandboxStatsResponse>;
  readonly listPodSandboxStats: CriUnary<rt.ListPodSandboxStatsRequest, rt.ListPodSandboxStatsResponse>;
  readonly listMetricDescriptors: CriUnary<rt.ListMetricDescriptorsRequest, rt.ListMetricDescriptorsResponse>;
  readonly listPodSandboxMetrics: CriUnary<rt.ListPodSandboxMetricsRequest, rt.ListPodSandboxMetricsResponse>;

  readonly streamPodSandboxes: CriStream<rt.StreamPodSandboxesRequest, rt.StreamPodSandboxesResponse>;
  readonly streamContainers: CriStream<rt.StreamContainersRequest, rt.StreamContainersResponse>;
  readonly streamContainerStats: CriStream<rt.StreamContainerStatsRequest, rt.StreamContainerStatsResponse>;
  readonly streamPodSandboxStats: CriStream<
    rt.StreamPodSandboxStatsRequest,
    rt.StreamPodSandboxStatsResponse
  >;
  readonly streamPodSandboxMetrics: CriStream<
    rt.StreamPodSandboxMetricsRequest,
    rt.StreamPodSandboxMetricsResponse
  >;
  /** Endless. Not for containerd 1.7, where two subscribers take each other's events: use `containerdEvents` there. */
  readonly getContainerEvents: CriStream<rt.GetEventsRequest, rt.ContainerEventResponse>;
}

/** `runtime.v1.ImageService`. */
export interface CriImageService {
  readonly listImages: CriUnary<ListImagesRequest, ListImagesResponse>;
  /** An image that is not there is an answer without `image`, not an error. */
  readonly imageStatus: CriUnary<ImageStatusRequest, ImageStatusResponse>;
  readonly pullImage: CriUnary<PullImageRequest, PullImageResponse>;
  readonly removeImage: CriUnary<RemoveImageRequest, RemoveImageResponse>;
  readonly imageFsInfo: CriUnary<ImageFsInfoRequest, ImageFsInfoResponse>;
  readonly streamImages: CriStream<StreamImagesRequest, StreamImagesResponse>;
}
