// SPDX-License-Identifier: Apache-2.0

/** Labels and annotations under `holdfast.agent/`: all of them, here. */

/** Label on sandboxes and containers: the node's name. Together with {@link INSTANCE_LABEL} it proves ownership. */
export const NODE_LABEL = "holdfast.agent/node";
/** Label on sandboxes and containers: the instance id from the state folder. */
export const INSTANCE_LABEL = "holdfast.agent/instance";
/** Annotation on pods: the restart back-off of containers, as `@holdfast/pod` reads it: `initial=1s, max=1m; exit 0: initial=0s; worker: reset=5m`. */
export const BACKOFF_ANNOTATION = "holdfast.agent/crash-loop-back-off";
/** Annotation on pods: whether the kernel kills one process only instead of the whole container (cgroup v2): `true; worker: false`. */
export const SINGLE_PROCESS_OOM_KILL_ANNOTATION = "holdfast.agent/single-process-oom-kill";
/** Annotations on pods: timing of probes in milliseconds, as `@holdfast/probe` reads it: `period=500ms, timeout=200ms; slow: period=5s`. */
export const LIVENESS_PROBE_TIMING_ANNOTATION = "holdfast.agent/liveness-probe-timing";
export const READINESS_PROBE_TIMING_ANNOTATION = "holdfast.agent/readiness-probe-timing";
export const STARTUP_PROBE_TIMING_ANNOTATION = "holdfast.agent/startup-probe-timing";
/** Annotation on containers: the devices of plugins that it has, as JSON, ids by resource; from it they are known when the checkpoint is lost. */
export const DEVICES_ANNOTATION = "holdfast.agent/devices";
/** Annotation on pods: `true` moves a container off devices that are no longer healthy when it is started again, as `@holdfast/device` reads it. */
export const MOVE_DEVICES_ANNOTATION = "holdfast.agent/move-off-unhealthy-devices";
/** Annotation on pods: `true` makes condition Ready False, reason `Terminating`, as soon as the pod is being taken down, as `@holdfast/status` reads it. */
export const UNREADY_WHEN_TERMINATING_ANNOTATION = "holdfast.agent/unready-when-terminating";
/** Condition of pods, only while it is True: the pod does not begin, or does not begin again, for the reason that it names: admission, a network, a namesake. */
export const WAITING_CONDITION = "holdfast.agent/Waiting";

/** The kubelet's own keys. kubelet: pkg/kubelet/types/labels.go, kuberuntime/labels.go. */
export const POD_NAME_LABEL = "io.kubernetes.pod.name";
export const POD_NAMESPACE_LABEL = "io.kubernetes.pod.namespace";
export const POD_UID_LABEL = "io.kubernetes.pod.uid";
export const CONTAINER_NAME_LABEL = "io.kubernetes.container.name";
export const CONTAINER_HASH_ANNOTATION = "io.kubernetes.container.hash";
export const RESTART_COUNT_ANNOTATION = "io.kubernetes.container.restartCount";
export const TERMINATION_MESSAGE_PATH_ANNOTATION = "io.kubernetes.container.terminationMessagePath";
export const TERMINATION_MESSAGE_POLICY_ANNOTATION = "io.kubernetes.container.terminationMessagePolicy";
export const POD_DELETION_GRACE_ANNOTATION = "io.kubernetes.pod.deletionGracePeriod";
export const POD_TERMINATION_GRACE_ANNOTATION = "io.kubernetes.pod.terminationGracePeriod";
export const PRE_STOP_HANDLER_ANNOTATION = "io.kubernetes.container.preStopHandler";
export const CONTAINER_PORTS_ANNOTATION = "io.kubernetes.container.ports";

/** kubelet: kubetypes.ConfigSourceAnnotationKey and its siblings. */
export const CONFIG_SOURCE_ANNOTATION = "kubernetes.io/config.source";
export const CONFIG_SEEN_ANNOTATION = "kubernetes.io/config.seen";
export const CONFIG_HASH_ANNOTATION = "kubernetes.io/config.hash";
export const CONFIG_MIRROR_ANNOTATION = "kubernetes.io/config.mirror";
