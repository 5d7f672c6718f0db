// SPDX-License-Identifier: Apache-2.0

/** Pure: what goes into a pod's resolv.conf. kubelet: pkg/kubelet/network/dns. */
import type { Pod } from "@holdfast/core/pod-types";

/** `DNSConfig` of the CRI. */
export interface DnsConfig {
  readonly servers: string[];
  readonly searches: string[];
  readonly options: string[];
}

/** What DNS of pods depends on. */
export interface DnsSettings {
  readonly clusterDns: readonly string[];
  readonly clusterDomain: string;
  /** The host's; undefined when the kubelet's resolvConf is "". */
  readonly host: DnsConfig | undefined;
  readonly nodeIps: readonly string[];
}

/** A warning for the pod's events. kubelet: DNSConfigForming, MissingClusterDNS. */
export interface DnsProblem {
  readonly reason: "DNSConfigForming" | "MissingClusterDNS";
  readonly message: string;
}

const MAX_SERVERS = 3;
const MAX_SEARCHES = 32;
const MAX_DOMAIN = 253;
const MAX_SEARCH_TEXT = 2048;
const CLUSTER_OPTION = "ndots:5";

/** kubelet: Configurer.GetPodDNS. */
export function podDns(
  pod: Pod,
  settings: DnsSettings,
): { readonly config: DnsConfig; readonly problems: readonly DnsProblem[] } {
  const problems: DnsProblem[] = [];
  const base = baseDns(pod, settings, problems);
  const { dnsConfig } = pod.spec;
  const merged: DnsConfig = {
    servers: unique([...base.servers, ...(dnsConfig?.nameservers ?? [])]),
    searches: unique([...base.searches, ...(dnsConfig?.searches ?? [])]),
    options: mergeOptions(base.options, dnsConfig?.options ?? []),
  };
  return { config: fitLimits(merged, problems), problems };
}

function baseDns(pod: Pod, settings: DnsSettings, problems: DnsProblem[]): DnsConfig {
  const { clusterDns, clusterDomain, host } = settings;
  const { dnsPolicy = "ClusterFirst", hostNetwork = false } = pod.spec;
  if (dnsPolicy === "None") return { servers: [], searches: [], options: [] };
  const cluster = dnsPolicy !== "Default" && !(hostNetwork && dnsPolicy !== "ClusterFirstWithHostNet");
  if (!cluster) return hostDns(settings);
  if (clusterDns.length === 0) {
    problems.push({
      reason: "MissingClusterDNS",
      message: `pod: ${JSON.stringify(`${pod.metadata.name}_${pod.metadata.namespace}(${pod.metadata.uid})`)}. kubelet does not have ClusterDNS IP configured and cannot create Pod using ${JSON.stringify(dnsPolicy)} policy. Falling back to "Default" policy.`,
    });
    return hostDns(settings);
  }
  const own =
    clusterDomain === ""
      ? []
      : [`${pod.metadata.namespace}.svc.${clusterDomain}`, `svc.${clusterDomain}`, clusterDomain];
  return {
    servers: [...clusterDns],
    searches: unique([...own, ...(host?.searches ?? [])]),
    options: [CLUSTER_OPTION],
  };
}

function hostDns({ host, nodeIps }: DnsSettings): DnsConfig {
  if (host !== undefined) return host;
  const loopbacks = nodeIps.map((ip) => (ip.includes(":") ? "::1" : "127.0.0.1"));
  return { servers: loopbacks.length > 0 ? loopbacks : ["127.0.0.1"], searches: ["."], options: [] };
}

/** By name; the pod's own win. kubelet: mergeDNSOptions. */
function mergeOptions(
  base: readonly string[],
  own: readonly { readonly name: string; readonly value?: string }[],
): string[] {
  const byName = new Map<string, string>();
  for (const option of base) byName.set(optionName(option), option);
  for (const { name, value } of own) byName.set(name, value === undefined ? name : `${name}:${value}`);
  return [...byName.values()];
}

function optionName(option: string): string {
  return option.split(":", 1)[0] ?? option;
}

function fitLimits({ servers, searches, options }: DnsConfig, problems: DnsProblem[]): DnsConfig {
  const fittingServers = servers.slice(0, MAX_SERVERS);
  if (fittingServers.length < servers.length) {
    problems.push({
      reason: "DNSConfigForming",
      message: `Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: ${fittingServers.join(" ")}`,
    });
  }
  const fittingSearches = searches.slice(0, MAX_SEARCHES).filter((domain) => domain.length <= MAX_DOMAIN);
  while (fittingSearches.join(" ").length > MAX_SEARCH_TEXT) fittingSearches.pop();
  if (fittingSearches.length < searches.length) {
    problems.push({
      reason: "DNSConfigForming",
      message: `Search Line limits were exceeded, some search paths have been omitted, the applied search line is: ${fittingSearches.join(" ")}`,
    });
  }
  return { servers: fittingServers, searches: fittingSearches, options };
}

/** How much of a resolv.conf is looked at. kubelet: maxResolvConfLength. */
const MAX_RESOLV_CONF = 10 * 1024 * 1024;

/** kubelet: parseResolvConf. The last search line counts; options merge by name. */
export function parseResolvConf(text: string): DnsConfig {
  const servers: string[] = [];
  let searches: string[] = [];
  const options = new Map<string, string>();
  for (const line of text.slice(0, MAX_RESOLV_CONF).split("\n")) {
    const [keyword, ...values] = line
      .replace(/[#;].*$/, "")
      .trim()
      .split(/\s+/);
    if (keyword === "nameserver" && values[0] !== undefined) servers.push(values[0]);
    else if (keyword === "search")
      searches = values.map((domain) => domain.replace(/\.$/, "")).filter((domain) => domain !== "");
    else if (keyword === "options") for (const option of values) options.set(optionName(option), option);
  }
  return { servers, searches, options: [...options.values()] };
}

function unique(values: readonly string[]): string[] {
  return [...new Set(values)];
}
