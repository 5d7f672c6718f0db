// SPDX-License-Identifier: Apache-2.0

/** Fills in what a static pod's manifest leaves out, as the API server and the kubelet do. kubelet: SetObjectDefaults_Pod, applyDefaults. */
import { CONFIG_HASH_ANNOTATION } from "@holdfast/core/names";
import type {
  Container,
  ContainerPort,
  Pod,
  PodSpec,
  Probe,
  PullPolicy,
  Volume,
} from "@holdfast/core/pod-types";
import type { WrittenPod } from "./written-pod.ts";

/** Where a static pod comes from and where it runs. */
export interface StaticPodOrigin {
  readonly nodeName: string;
  readonly uid: string;
}

/** `NAME-NODE`, so that static pods of several nodes do not clash in one cluster. kubelet: generatePodName. */
export function staticPodName(name: string, nodeName: string): string {
  return `${name}-${nodeName.toLowerCase()}`;
}

/** The pod as it will run. */
export function defaultPod(written: WrittenPod, { nodeName, uid }: StaticPodOrigin): Pod {
  const { metadata, spec } = written;
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name: staticPodName(metadata.name, nodeName),
      namespace: metadata.namespace || "default",
      uid,
      ...(metadata.labels === undefined ? {} : { labels: metadata.labels }),
      annotations: { ...metadata.annotations, [CONFIG_HASH_ANNOTATION]: uid },
    },
    spec: defaultSpec(spec, nodeName),
    status: { phase: "Pending" },
  };
}

/** kubelet: the file source tolerates every NoExecute taint. */
const TOLERATES_ALL = { operator: "Exists", effect: "NoExecute" };

/** The classes that every cluster has. kubelet: scheduling.SystemPriorityClasses. */
const SYSTEM_PRIORITIES: ReadonlyMap<string, number> = new Map([
  ["system-node-critical", 2_000_001_000],
  ["system-cluster-critical", 2_000_000_000],
]);

function defaultSpec(spec: PodSpec, nodeName: string): PodSpec {
  const { hostNetwork = false, priorityClassName = "" } = spec;
  const priority = SYSTEM_PRIORITIES.get(priorityClassName);
  return {
    ...(priority === undefined ? {} : { priority }),
    restartPolicy: "Always",
    terminationGracePeriodSeconds: 30,
    dnsPolicy: "ClusterFirst",
    securityContext: {},
    schedulerName: "default-scheduler",
    enableServiceLinks: true,
    ...spec,
    nodeName,
    tolerations: [...(spec.tolerations ?? []), TOLERATES_ALL],
    containers: spec.containers.map((container) => defaultContainer(container, hostNetwork)),
    ...(spec.initContainers === undefined
      ? {}
      : { initContainers: spec.initContainers.map((container) => defaultContainer(container, hostNetwork)) }),
    ...(spec.volumes === undefined ? {} : { volumes: spec.volumes.map(defaultVolume) }),
  };
}

function defaultContainer(container: Container, hostNetwork: boolean): Container {
  const { livenessProbe, readinessProbe, startupProbe, ports, resources, terminationMessagePath } = container;
  return {
    terminationMessagePolicy: "File",
    imagePullPolicy: defaultPullPolicy(container.image),
    ...container,
    terminationMessagePath: terminationMessagePath || "/dev/termination-log",
    ...(ports === undefined ? {} : { ports: ports.map((port) => defaultPort(port, hostNetwork)) }),
    // What a limit says and a request does not, is requested.
    ...(resources?.limits === undefined
      ? {}
      : { resources: { ...resources, requests: { ...resources.limits, ...resources.requests } } }),
    ...(livenessProbe === undefined ? {} : { livenessProbe: defaultProbe(livenessProbe) }),
    ...(readinessProbe === undefined ? {} : { readinessProbe: defaultProbe(readinessProbe) }),
    ...(startupProbe === undefined ? {} : { startupProbe: defaultProbe(startupProbe) }),
  };
}

/** Always for `:latest` and for no tag, else IfNotPresent; a digest counts as a tag. kubelet: SetDefaults_Container. */
export function defaultPullPolicy(image: string): PullPolicy {
  if (image.includes("@")) return "IfNotPresent";
  const tag = /:([^/:]+)$/.exec(image)?.[1];
  return tag === undefined || tag === "latest" ? "Always" : "IfNotPresent";
}

function defaultPort(port: ContainerPort, hostNetwork: boolean): ContainerPort {
  const withProtocol: ContainerPort = { protocol: "TCP", ...port };
  return hostNetwork && !port.hostPort ? { ...withProtocol, hostPort: port.containerPort } : withProtocol;
}

function defaultProbe(probe: Probe): Probe {
  return {
    timeoutSeconds: 1,
    periodSeconds: 10,
    successThreshold: 1,
    failureThreshold: 3,
    ...probe,
    ...(probe.httpGet === undefined
      ? {}
      : { httpGet: { scheme: "HTTP", ...probe.httpGet, path: probe.httpGet.path || "/" } }),
  };
}

function defaultVolume(volume: Volume): Volume {
  if (volume.hostPath !== undefined) return { ...volume, hostPath: { type: "", ...volume.hostPath } };
  return volume.emptyDir === undefined ? { ...volume, emptyDir: {} } : volume;
}
