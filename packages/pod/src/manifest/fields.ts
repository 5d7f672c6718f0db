// SPDX-License-Identifier: Apache-2.0

/**
 * `v1.Pod` of the Kubernetes 1.36 API, field by field: what Holdfast honours, warns about and refuses. A field that stands nowhere in this table is
 * unknown and an error. To honour a field, change its line here and carry it out.
 */
import { container, initContainer, unsupportedSecurity } from "./container-fields.ts";
import {
  bool,
  int32,
  int64,
  list,
  object,
  refused,
  string,
  stringMap,
  warned,
  warnedUnless,
} from "./field-table.ts";
import type { Field } from "./field-table.ts";
import { volume } from "./volume-fields.ts";

const SERVER_SET = "the API server sets it; it is not read from a manifest";
const NO_SCHEDULER = "the pod runs on this node, nothing schedules it";
const NO_CLASSES = "there are no priority classes without an API server: set priority";
/** What a static manifest of a control plane says beside its number. */
const SYSTEM_CLASSES = ["system-node-critical", "system-cluster-critical"];

const metadata: Field = object(
  {
    name: string({ required: true }),
    namespace: string(),
    uid: string(),
    labels: stringMap(),
    annotations: stringMap(),
    generateName: refused("a static pod needs a name of its own"),
    creationTimestamp: warned(SERVER_SET),
    deletionTimestamp: refused("a pod that is being deleted cannot be a manifest"),
    deletionGracePeriodSeconds: refused("a pod that is being deleted cannot be a manifest"),
    finalizers: warned("static pods have no finalizers"),
    generation: warned(SERVER_SET),
    managedFields: warned(SERVER_SET),
    ownerReferences: warned("static pods have no owner"),
    resourceVersion: warned(SERVER_SET),
    selfLink: warned(SERVER_SET),
  },
  { required: true },
);

const securityContext: Field = object({
  runAsUser: int64({ min: 0, max: 2_147_483_647 }),
  runAsGroup: int64({ min: 0, max: 2_147_483_647 }),
  runAsNonRoot: bool(),
  supplementalGroups: list(int64({ min: 0, max: 2_147_483_647 })),
  fsGroup: int64({ min: 0, max: 2_147_483_647 }),
  fsGroupChangePolicy: warned("only emptyDir volumes get the group, and they are new"),
  supplementalGroupsPolicy: refused("only the policy Merge is supported", "Merge"),
  seLinuxChangePolicy: refused("SELinux labels are not applied yet"),
  sysctls: refused("sysctls are not applied yet"),
  ...unsupportedSecurity,
});

const dnsConfig: Field = object({
  nameservers: list(string()),
  searches: list(string()),
  options: list(object({ name: string({ required: true }), value: string() })),
});

const spec: Field = object(
  {
    containers: list(container, { required: true }),
    initContainers: list(initContainer),
    volumes: list(volume),
    restartPolicy: string({ values: ["Always", "OnFailure", "Never"] }),
    terminationGracePeriodSeconds: int64({ min: 0 }),
    activeDeadlineSeconds: int64({ min: 1, max: 2_147_483_647 }),
    dnsPolicy: string({ values: ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"] }),
    dnsConfig,
    hostNetwork: bool(),
    hostPID: bool(),
    hostIPC: bool(),
    shareProcessNamespace: bool(),
    hostname: string(),
    subdomain: string(),
    setHostnameAsFQDN: bool(),
    hostAliases: list(object({ ip: string({ required: true }), hostnames: list(string()) })),
    securityContext,
    nodeName: string(),
    ephemeralContainers: refused("ephemeral containers are not part of a manifest"),
    // false asks for a user namespace: it is not the same as absent.
    hostUsers: { ...refused("user namespaces are not supported yet"), inert: [null, true] },
    hostnameOverride: refused("it is not supported yet; use hostname"),
    imagePullSecrets: refused("static pods may not reference secrets"),
    overhead: refused("only a RuntimeClass sets it"),
    resourceClaims: refused("static pods may not reference resourceClaims"),
    resources: refused("resources of a whole pod are not supported yet; set them on its containers"),
    runtimeClassName: refused("runtime classes are not supported yet"),
    schedulingGates: refused("nothing would ever open them"),
    readinessGates: refused("nothing would ever set their conditions"),
    os: refused("only linux runs here", { name: "linux" }),
    affinity: warned(NO_SCHEDULER),
    nodeSelector: warned(NO_SCHEDULER),
    schedulerName: warnedUnless(NO_SCHEDULER, "default-scheduler"),
    topologySpreadConstraints: warned(NO_SCHEDULER),
    tolerations: warned("static pods tolerate every taint"),
    preemptionPolicy: warned("static pods make room for themselves in any case"),
    priority: int32(),
    priorityClassName: warnedUnless(NO_CLASSES, ...SYSTEM_CLASSES),
    schedulingGroup: warned(NO_SCHEDULER),
    workloadRef: warned(NO_SCHEDULER),
    serviceAccountName: warned("there is no API server that would give the pod a token"),
    serviceAccount: warned("there is no API server that would give the pod a token"),
    automountServiceAccountToken: warned("there is no API server that would give the pod a token"),
    enableServiceLinks: warned("there are no services to link to", bool()),
  },
  { required: true },
);

/** The whole document. */
export const podFields: Field = object({
  apiVersion: string({ required: true }),
  kind: string({ required: true }),
  metadata,
  spec,
  status: warned("a pod's status is not read from a manifest"),
});
