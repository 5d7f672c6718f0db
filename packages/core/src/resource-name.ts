// SPDX-License-Identifier: Apache-2.0

/** Names of extended resources: what device plugins offer and pods ask for. Pure. kubelet: v1helper.IsExtendedResourceName. */

const MAX_DOMAIN = 253;
const MAX_NAME = 63;
const DOMAIN = /^[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*$/;
const NAME = /^[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?$/;
const QUOTA_PREFIX = "requests.";

/** Why `name` is not the name of an extended resource, as `nvidia.com/gpu` is one; undefined when it is. */
export function resourceNameProblem(name: string): string | undefined {
  const slash = name.indexOf("/");
  if (slash < 0) return "it must be DOMAIN/NAME, as in vendor.example/gpu";
  const domain = name.slice(0, slash);
  const rest = name.slice(slash + 1);
  if (domain === "kubernetes.io" || domain.endsWith(".kubernetes.io"))
    return "names below kubernetes.io belong to Kubernetes";
  if (name.startsWith(QUOTA_PREFIX)) return `it must not begin with ${QUOTA_PREFIX}`;
  if (QUOTA_PREFIX.length + domain.length > MAX_DOMAIN) return "its domain is too long";
  if (!DOMAIN.test(domain)) return "its domain must be a DNS name in lower case";
  if (rest.length > MAX_NAME) return `its part after the slash has more than ${MAX_NAME} characters`;
  if (!NAME.test(rest))
    return "its part after the slash must be of letters, digits, '-', '_' and '.', with a letter or digit at both ends";
  return undefined;
}

/** Whether a resource of a container is one that a device plugin could offer. */
export function isExtendedResourceName(name: string): boolean {
  return resourceNameProblem(name) === undefined;
}
