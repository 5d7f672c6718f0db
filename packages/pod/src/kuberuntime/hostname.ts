// SPDX-License-Identifier: Apache-2.0

/** Pure: host name and domain of a pod. kubelet: GeneratePodHostNameAndDomain. */
import { HoldfastError } from "@holdfast/core/errors";
import type { Pod } from "@holdfast/core/pod-types";

const MAX_HOSTNAME = 63;
const MAX_FQDN = 64;

/** What a pod calls itself. */
export interface PodHostname {
  readonly hostname: string;
  /** "" without a subdomain. */
  readonly domain: string;
}

/** Throws `bad-input` (POD_HOSTNAME) when nothing usable is left. Not for hostNetwork pods, which keep the node's name. */
export function podHostname(pod: Pod, clusterDomain: string): PodHostname {
  const { name, namespace } = pod.metadata;
  const { hostname: wanted, subdomain, setHostnameAsFQDN } = pod.spec;
  const hostname = truncate(wanted ?? name);
  if (subdomain === undefined || subdomain === "") return { hostname, domain: "" };
  const domain = [subdomain, namespace, "svc", clusterDomain].filter((part) => part !== "").join(".");
  if (setHostnameAsFQDN !== true) return { hostname, domain };
  const fqdn = `${hostname}.${domain}`;
  if (fqdn.length > MAX_FQDN) {
    throw new HoldfastError(
      "POD_HOSTNAME",
      "bad-input",
      `Failed to construct FQDN from pod hostname and cluster domain, FQDN ${fqdn} is too long (${MAX_FQDN} characters is the max, ${fqdn.length} characters requested)`,
      { fieldPath: "spec.setHostnameAsFQDN" },
    );
  }
  return { hostname: fqdn, domain };
}

function truncate(name: string): string {
  if (name.length <= MAX_HOSTNAME) return name;
  const cut = name.slice(0, MAX_HOSTNAME).replace(/[-.]+$/, "");
  if (cut === "")
    throw new HoldfastError("POD_HOSTNAME", "bad-input", `hostname ${name} has nothing left after it is cut`);
  return cut;
}
