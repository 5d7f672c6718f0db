// SPDX-License-Identifier: Apache-2.0

/** Pure: everything that the runtime is told about a sandbox. kubelet: generatePodSandboxConfig. */
import type { DeepPartial, PodSandboxConfig } from "@holdfast/cri";
import type { Pod } from "@holdfast/core/pod-types";
import { sandboxAnnotations, sandboxLabels } from "./container-labels.ts";
import type { Owner } from "./container-labels.ts";
import type { DnsConfig } from "./dns.ts";
import { podHostname } from "./hostname.ts";
import { portMappings } from "./port-mappings.ts";
import { sandboxSecurityContext } from "./security-context.ts";

/** What does not stand in the pod. */
export interface SandboxConfigInput {
  readonly attempt: number;
  readonly owner: Owner;
  readonly logDirectory: string;
  readonly dns: DnsConfig;
  readonly clusterDomain: string;
  readonly cgroupParent: string;
}

/** Throws `bad-input` on a host name that cannot be. */
export function sandboxConfig(pod: Pod, input: SandboxConfigInput): DeepPartial<PodSandboxConfig> {
  const { name, namespace, uid } = pod.metadata;
  return {
    metadata: { name, namespace, uid, attempt: input.attempt },
    hostname: pod.spec.hostNetwork === true ? "" : podHostname(pod, input.clusterDomain).hostname,
    logDirectory: input.logDirectory,
    dnsConfig: input.dns,
    portMappings: portMappings(pod),
    labels: sandboxLabels(pod, input.owner),
    annotations: sandboxAnnotations(pod),
    linux: {
      cgroupParent: input.cgroupParent,
      securityContext: sandboxSecurityContext(pod),
      sysctls: {},
    },
  };
}
