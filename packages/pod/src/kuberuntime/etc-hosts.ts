// SPDX-License-Identifier: Apache-2.0

/** Pure: the text of a pod's /etc/hosts. kubelet: kubelet_pods.go, ensureHostsFile. */
import type { HostAlias } from "@holdfast/core/pod-types";

/** Where it is mounted. */
export const ETC_HOSTS_PATH = "/etc/hosts";

/** Of a pod with addresses of its own. kubelet: managedHostsFileContent. */
export function managedHostsContent(
  ips: readonly string[],
  hostname: string,
  domain: string,
  aliases: readonly HostAlias[] = [],
): string {
  const lines = [
    "# Kubernetes-managed hosts file.",
    "127.0.0.1\tlocalhost",
    "::1\tlocalhost ip6-localhost ip6-loopback",
    "fe00::0\tip6-localnet",
    "fe00::0\tip6-mcastprefix",
    "fe00::1\tip6-allnodes",
    "fe00::2\tip6-allrouters",
  ];
  for (const ip of ips)
    lines.push(domain === "" ? `${ip}\t${hostname}` : `${ip}\t${hostname}.${domain}\t${hostname}`);
  return `${lines.join("\n")}\n${aliasText(aliases)}`;
}

/** Of a pod on the host's network: the node's own file. kubelet: nodeHostsFileContent. */
export function nodeHostsContent(hostsFile: string, aliases: readonly HostAlias[] = []): string {
  return `# Kubernetes-managed hosts file (host network).\n${hostsFile}${aliasText(aliases)}`;
}

function aliasText(aliases: readonly HostAlias[]): string {
  if (aliases.length === 0) return "";
  const lines = aliases.map(({ ip, hostnames }) => `${ip}\t${hostnames.join("\t")}\n`);
  return `\n# Entries added by HostAliases.\n${lines.join("")}`;
}
