// SPDX-License-Identifier: Apache-2.0

/** A pod that says something in every field that Holdfast honours, and what else each of them may say. */
import { container } from "./pods.ts";
import type { Fields } from "./pods.ts";

/** Three probes with one handler; the numbers differ from the defaults. */
function probes(handler: Fields): Fields {
  const timing = { initialDelaySeconds: 1, timeoutSeconds: 2, periodSeconds: 3, failureThreshold: 2 };
  return {
    startupProbe: { ...handler, ...timing, failureThreshold: 4, terminationGracePeriodSeconds: 5 },
    livenessProbe: { ...handler, ...timing, terminationGracePeriodSeconds: 6 },
    readinessProbe: { ...handler, ...timing, successThreshold: 2 },
  };
}

const HTTP = {
  httpGet: {
    path: "/up",
    port: "probed",
    host: "10.1.1.1",
    scheme: "HTTP",
    httpHeaders: [{ name: "X-One", value: "1" }],
  },
};

/** Without a startup probe, which would hide the other probes' delays, and with a liveness that gives in later than its readiness. */
function eager(): Fields {
  const { livenessProbe, readinessProbe } = probes(HTTP) as { livenessProbe: Fields; readinessProbe: Fields };
  return { livenessProbe: { ...livenessProbe, failureThreshold: 6 }, readinessProbe };
}

const CONTAINERS: readonly Fields[] = [
  container(
    "plain",
    {},
    {
      imagePullPolicy: "IfNotPresent",
      args: ["one"],
      workingDir: "/work",
      stdin: true,
      stdinOnce: false,
      tty: false,
      ports: [{ name: "web", containerPort: 8080, hostPort: 8080, hostIP: "127.0.0.1", protocol: "TCP" }],
      env: [
        { name: "PLAIN", value: "text" },
        { name: "NAME", valueFrom: { fieldRef: { apiVersion: "v1", fieldPath: "metadata.name" } } },
        {
          name: "LIMIT",
          valueFrom: {
            resourceFieldRef: { containerName: "plain", resource: "limits.memory", divisor: "1Mi" },
          },
        },
      ],
      resources: { requests: { cpu: "100m" }, limits: { memory: "64Mi" } },
      volumeMounts: [
        { name: "fast", mountPath: "/fast", readOnly: false, mountPropagation: "None" },
        { name: "disk", mountPath: "/disk" },
        { name: "host", mountPath: "/host" },
      ],
      lifecycle: { postStart: { exec: { command: ["hello"] } }, preStop: { exec: { command: ["bye"] } } },
      securityContext: {
        privileged: false,
        runAsUser: 0,
        runAsGroup: 7,
        runAsNonRoot: false,
        readOnlyRootFilesystem: false,
        capabilities: { add: ["NET_ADMIN"], drop: ["MKNOD"] },
      },
      terminationMessagePath: "/dev/end",
    },
  ),
  container(
    "failing",
    { exitAfterMs: 4000, exitCode: 1, output: [{ text: "the last words" }] },
    {
      terminationMessagePolicy: "File",
      securityContext: { allowPrivilegeEscalation: true },
    },
  ),
  container(
    "slow",
    {},
    { lifecycle: { postStart: { sleep: { seconds: 1 } }, preStop: { sleep: { seconds: 1 } } } },
  ),
  container("eager", {}, { ports: [{ name: "probed", containerPort: 81 }], ...eager() }),
  container(
    "http",
    {},
    {
      ports: [{ name: "probed", containerPort: 81 }],
      ...probes(HTTP),
    },
  ),
  container("tcp", {}, probes({ tcpSocket: { port: 82, host: "10.1.1.2" } })),
  container("grpc", {}, probes({ grpc: { port: 83, service: "one" } })),
  container("exec", {}, probes({ exec: { command: ["check"] } })),
];

/** The whole document. Its UID is its own, so that it stays when a field changes. */
const FULL_POD = {
  apiVersion: "v1",
  kind: "Pod",
  metadata: {
    name: "full",
    namespace: "default",
    uid: "full-pod",
    labels: { app: "full" },
    annotations: { note: "one" },
  },
  spec: {
    nodeName: "node-1",
    priority: 0,
    restartPolicy: "Always",
    terminationGracePeriodSeconds: 20,
    activeDeadlineSeconds: 90,
    dnsPolicy: "Default",
    dnsConfig: {
      nameservers: ["10.9.9.9"],
      searches: ["one.test"],
      options: [{ name: "ndots", value: "3" }],
    },
    hostNetwork: false,
    hostPID: false,
    hostIPC: false,
    shareProcessNamespace: false,
    hostname: "host",
    subdomain: "sub",
    setHostnameAsFQDN: false,
    hostAliases: [{ ip: "10.8.8.8", hostnames: ["alias"] }],
    securityContext: {
      runAsUser: 0,
      runAsGroup: 5,
      runAsNonRoot: false,
      supplementalGroups: [6],
      fsGroup: 8,
    },
    initContainers: [container("sidecar", {}, { restartPolicy: "Always" })],
    containers: CONTAINERS,
    volumes: [
      { name: "fast", emptyDir: { medium: "Memory", sizeLimit: "1Mi" } },
      { name: "disk", emptyDir: {} },
      { name: "host", hostPath: { path: "/data", type: "DirectoryOrCreate" } },
    ],
  },
};

/** The same with some of its containers only: a shorter life. */
export function fullPod(names: readonly string[]): typeof FULL_POD {
  const containers = CONTAINERS.filter(({ name }) => names.includes(String(name)));
  return { ...FULL_POD, spec: { ...FULL_POD.spec, containers } };
}

/** What a field says instead, where a longer text or the next number would not be valid. */
export const OTHER_VALUES: Readonly<Record<string, unknown>> = {
  "spec.restartPolicy": "Never",
  "spec.dnsPolicy": "ClusterFirst",
  "spec.dnsConfig.nameservers[]": ["10.9.9.8"],
  "spec.hostAliases[].ip": "10.8.8.9",
  "spec.initContainers[].restartPolicy": null,
  "spec.containers[].imagePullPolicy": "Always",
  "spec.containers[].image": "holdfast.local/pause:1",
  "spec.containers[].command[]": ["run", "{}", "more"],
  "spec.containers[].env[].valueFrom.fieldRef.fieldPath": "metadata.namespace",
  "spec.containers[].env[].valueFrom.resourceFieldRef.containerName": "failing",
  "spec.containers[].env[].valueFrom.resourceFieldRef.resource": "requests.cpu",
  "spec.containers[].env[].valueFrom.resourceFieldRef.divisor": "1Ki",
  "spec.containers[].ports[].hostIP": "127.0.0.2",
  "spec.containers[].ports[].protocol": "UDP",
  "spec.containers[].resources.requests": { cpu: "200m" },
  "spec.containers[].resources.limits": { memory: "65Mi" },
  "spec.containers[].securityContext.capabilities.add[]": ["SYS_TIME"],
  "spec.containers[].securityContext.capabilities.drop[]": ["CHOWN"],
  "spec.containers[].terminationMessagePolicy": "FallbackToLogsOnError",
  "spec.containers[].volumeMounts[].name": "disk",
  "spec.containers[].volumeMounts[].mountPropagation": "HostToContainer",
  "spec.volumes[].emptyDir.medium": "",
  "spec.volumes[].emptyDir.sizeLimit": "2Mi",
  "spec.volumes[].hostPath.type": "File",
};
for (const kind of ["livenessProbe", "readinessProbe", "startupProbe"]) {
  const values = OTHER_VALUES as Record<string, unknown>;
  values[`spec.containers[].${kind}.httpGet.scheme`] = "HTTPS";
  values[`spec.containers[].${kind}.httpGet.port`] = 88;
  values[`spec.containers[].${kind}.httpGet.host`] = "10.1.1.9";
  values[`spec.containers[].${kind}.tcpSocket.host`] = "10.1.1.9";
}
