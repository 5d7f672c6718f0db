// SPDX-License-Identifier: Apache-2.0

/** `v1.Container` of the Kubernetes 1.36 API, field by field. */
import {
  bool,
  int32,
  int64,
  intOrString,
  list,
  object,
  quantity,
  quantityMap,
  refused,
  string,
  warned,
} from "./field-table.ts";
import type { Field } from "./field-table.ts";

const NO_API = "a static pod may not reference it, and there is no API server to read it from";

const exec: Field = object({ command: list(string(), { required: true }) });

const envVar: Field = object({
  name: string({ required: true }),
  value: string({ secret: true }),
  valueFrom: object({
    fieldRef: object({ apiVersion: string({ values: ["v1"] }), fieldPath: string({ required: true }) }),
    resourceFieldRef: object({
      containerName: string(),
      resource: string({ required: true }),
      divisor: quantity(),
    }),
    configMapKeyRef: refused(NO_API),
    secretKeyRef: refused(NO_API),
    fileKeyRef: refused("environment files are not supported"),
  }),
});

const port: Field = object({
  name: string(),
  containerPort: int32({ required: true, min: 1, max: 65_535 }),
  hostPort: int32({ min: 0, max: 65_535 }),
  hostIP: string(),
  protocol: string({ values: ["TCP", "UDP", "SCTP"] }),
});

const resources: Field = object({
  limits: quantityMap(),
  requests: quantityMap(),
  claims: refused("static pods may not reference resourceClaims"),
});

const volumeMount: Field = object({
  name: string({ required: true }),
  mountPath: string({ required: true }),
  readOnly: bool(),
  mountPropagation: string({ values: ["None", "HostToContainer", "Bidirectional"] }),
  subPath: refused("sub-paths of volumes are not supported yet"),
  subPathExpr: refused("sub-paths of volumes are not supported yet"),
  recursiveReadOnly: refused("recursive read-only mounts are not supported yet", "Disabled"),
});

const seconds = (min: number): Field => int32({ min });

const probe = (): Field =>
  object({
    exec,
    httpGet: object({
      path: string(),
      port: intOrString({ required: true }),
      host: string(),
      scheme: string({ values: ["HTTP", "HTTPS"] }),
      httpHeaders: list(object({ name: string({ required: true }), value: string({ secret: true }) })),
    }),
    tcpSocket: object({ port: intOrString({ required: true }), host: string() }),
    grpc: object({ port: int32({ required: true, min: 1, max: 65_535 }), service: string() }),
    initialDelaySeconds: seconds(0),
    timeoutSeconds: seconds(1),
    periodSeconds: seconds(1),
    successThreshold: seconds(1),
    failureThreshold: seconds(1),
    terminationGracePeriodSeconds: int64({ min: 1 }),
  });

const ONLY_EXEC = "only exec and sleep handlers are run";

const handler: Field = object({
  exec,
  sleep: object({ seconds: int64({ required: true, min: 0 }) }),
  httpGet: refused(ONLY_EXEC),
  tcpSocket: refused(ONLY_EXEC),
});

const UNCONFINED = { type: "Unconfined" };

/** What a container and its pod share of `securityContext`: the parts that are not applied yet and must not be skipped. */
export const unsupportedSecurity: Readonly<Record<string, Field>> = {
  seLinuxOptions: refused("SELinux labels are not applied yet"),
  seccompProfile: refused("seccomp profiles are not applied yet", UNCONFINED),
  appArmorProfile: refused("AppArmor profiles are not applied yet"),
  windowsOptions: refused("this is no Windows node"),
};

const securityContext: Field = object({
  privileged: bool(),
  runAsUser: int64({ min: 0, max: 2_147_483_647 }),
  runAsGroup: int64({ min: 0, max: 2_147_483_647 }),
  runAsNonRoot: bool(),
  readOnlyRootFilesystem: bool(),
  allowPrivilegeEscalation: bool(),
  capabilities: object({ add: list(string()), drop: list(string()) }),
  procMount: refused("/proc is always mounted with the runtime's masks", "Default"),
  ...unsupportedSecurity,
});

/** A regular container. */
export const container: Field = object({
  name: string({ required: true }),
  image: string({ required: true }),
  command: list(string()),
  args: list(string()),
  workingDir: string(),
  env: list(envVar),
  envFrom: refused(NO_API),
  ports: list(port),
  resources,
  resizePolicy: warned("resources are not resized in place"),
  volumeMounts: list(volumeMount),
  volumeDevices: refused("block volumes are not supported"),
  lifecycle: object({
    postStart: handler,
    preStop: handler,
    stopSignal: refused("stop signals are not supported yet"),
  }),
  livenessProbe: probe(),
  readinessProbe: probe(),
  startupProbe: probe(),
  terminationMessagePath: string(),
  terminationMessagePolicy: string({ values: ["File", "FallbackToLogsOnError"] }),
  imagePullPolicy: string({ values: ["Always", "IfNotPresent", "Never"] }),
  securityContext,
  stdin: bool(),
  stdinOnce: bool(),
  tty: bool(),
  restartPolicy: refused("only an init container may have a restart policy of its own"),
  restartPolicyRules: refused("restart rules are not supported"),
});

/** An init container; with restartPolicy Always a sidecar. */
export const initContainer: Field = {
  ...container,
  fields: { ...container.fields, restartPolicy: string({ values: ["Always"] }) },
};
