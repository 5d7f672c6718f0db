// SPDX-License-Identifier: Apache-2.0

import { describe, expect, it } from "vitest";
import { parseResolvConf, podDns } from "../../src/kuberuntime/dns.ts";
import type { DnsSettings } from "../../src/kuberuntime/dns.ts";
import { makePod } from "./fixtures.ts";
import type { PodParts } from "./fixtures.ts";

const settings: DnsSettings = {
  clusterDns: ["10.0.0.10"],
  clusterDomain: "cluster.local",
  host: { servers: ["127.0.0.53"], searches: ["corp.example"], options: ["rotate"] },
  nodeIps: ["192.168.1.1"],
};
const CLUSTER_SEARCHES = ["default.svc.cluster.local", "svc.cluster.local", "cluster.local", "corp.example"];
const cluster = { servers: ["10.0.0.10"], searches: CLUSTER_SEARCHES, options: ["ndots:5"] };
const host = { servers: ["127.0.0.53"], searches: ["corp.example"], options: ["rotate"] };

// kubelet: TestGetPodDNS, TestGetPodDNSCustom
describe("podDns", () => {
  it.each<[string, PodParts["spec"], Partial<DnsSettings>, object, string[]]>([
    ["ClusterFirst", {}, {}, cluster, []],
    ["ClusterFirst with hostNetwork", { hostNetwork: true }, {}, host, []],
    ["ClusterFirstWithHostNet", { hostNetwork: true, dnsPolicy: "ClusterFirstWithHostNet" }, {}, cluster, []],
    ["Default", { dnsPolicy: "Default" }, {}, host, []],
    [
      "DNSNone without DNSConfig should have empty DNS settings",
      { dnsPolicy: "None" },
      {},
      { servers: [], searches: [], options: [] },
      [],
    ],
    ["no cluster DNS", {}, { clusterDns: [] }, host, ["MissingClusterDNS"]],
    [
      "no resolv.conf",
      { dnsPolicy: "Default" },
      { host: undefined },
      { servers: ["127.0.0.1"], searches: ["."], options: [] },
      [],
    ],
    ["no cluster domain", {}, { clusterDomain: "" }, { ...cluster, searches: ["corp.example"] }, []],
    [
      "dnsConfig is merged",
      {
        dnsConfig: {
          nameservers: ["1.1.1.1", "10.0.0.10"],
          searches: ["own.example", "corp.example"],
          options: [{ name: "ndots", value: "2" }, { name: "debug" }],
        },
      },
      {},
      {
        servers: ["10.0.0.10", "1.1.1.1"],
        searches: [...CLUSTER_SEARCHES, "own.example"],
        options: ["ndots:2", "debug"],
      },
      [],
    ],
    [
      "a fourth nameserver is left out",
      { dnsPolicy: "None", dnsConfig: { nameservers: ["1", "2", "3", "4"] } },
      {},
      { servers: ["1", "2", "3"], searches: [], options: [] },
      ["DNSConfigForming"],
    ],
  ])("%s", (_title, spec = {}, more, config, reasons) => {
    const result = podDns(makePod({ spec }), { ...settings, ...more });
    expect(result.config).toEqual(config);
    expect(result.problems.map(({ reason }) => reason)).toEqual(reasons);
  });

  // kubelet: TestFormDNSSearchFitsLimits
  it("search domains fit the limits", () => {
    const searchesOf = (searches: string[]): readonly string[] =>
      podDns(makePod({ spec: { dnsPolicy: "None", dnsConfig: { searches } } }), settings).config.searches;
    expect(searchesOf(Array.from({ length: 33 }, (_, index) => `d${index}`))).toHaveLength(32);
    expect(searchesOf(["ok", "x".repeat(254)])).toEqual(["ok"]);
    expect(
      searchesOf(Array.from({ length: 20 }, (_, index) => `${index}`.padEnd(200, "x"))).join(" ").length,
    ).toBeLessThanOrEqual(2048);
  });
});

// kubelet: TestParseResolvConf
describe("parseResolvConf", () => {
  it.each([
    ["", [], [], []],
    ["nameserver", [], [], []],
    ["nameserver 1.2.3.4\nnameserver\t5.6.7.8", ["1.2.3.4", "5.6.7.8"], [], []],
    ["nameserver 1.2.3.4 # comment\n#nameserver 9.9.9.9", ["1.2.3.4"], [], []],
    ["search foo bar\nsearch baz.", [], ["baz"], []],
    ["search . foo", [], ["foo"], []],
    ["options ndots:5 attempts:2\noptions ndots:1", [], [], ["ndots:1", "attempts:2"]],
  ])("%j", (text, servers, searches, options) =>
    expect(parseResolvConf(text)).toEqual({ servers, searches, options }),
  );
});
