// SPDX-License-Identifier: Apache-2.0
import type { Pod } from "@holdfast/core/pod-types";
import { describe, expect, it } from "vitest";
import { amountOf, computePreemption, isPreemptable, podsToPreempt } from "@holdfast/resource";
import type { FitFailure } from "@holdfast/resource";
import { container, podOf } from "./fixtures/pods.ts";

const amounts = (of: Readonly<Record<string, string | number>>): ReadonlyMap<string, number> =>
  new Map(Object.entries(of).map(([name, quantity]) => [name, amountOf(name, quantity)]));
const isStatic = (pod: Pod): Pod => ({
  ...pod,
  metadata: { ...pod.metadata, annotations: { "kubernetes.io/config.source": "file" } },
});

describe("preemption", () => {
  const of = (uid: string, cpu: number, memory: number, limited: boolean, priority?: number): Pod => {
    const quantities = { cpu: `${cpu}m`, memory: `${memory}Mi` };
    const c = {
      name: "c",
      image: "x",
      resources: { requests: quantities, ...(limited ? { limits: quantities } : {}) },
    };
    return podOf(uid, [cpu === 0 ? container("c") : c], priority === undefined ? {} : { priority });
  };
  const bestEffort = of("best-effort", 0, 0, false);
  const burstable = of("burstable", 100, 100, false);
  const bigBurstable = of("big-burstable", 300, 300, false);
  const guaranteed = of("guaranteed", 100, 100, true);
  const bigGuaranteed = of("big-guaranteed", 300, 300, true);
  const clusterCritical = of("cluster-critical", 100, 100, true, 2_000_000_000);
  const nodeCritical = of("node-critical", 100, 100, true, 2_000_001_000);
  const critical = isStatic(of("critical", 100, 100, true));
  const all = [bestEffort, burstable, bigBurstable, guaranteed, bigGuaranteed];
  const names = (pods: readonly Pod[] | string): unknown =>
    typeof pods === "string" ? pods : pods.map(({ metadata }) => metadata.uid).sort();

  // kubelet: TestGetPodsToPreempt
  it.each<
    [string, Pod, readonly Pod[], Readonly<Record<string, string | number>>, readonly string[] | string]
  >([
    ["nothing is missing", critical, all, {}, []],
    [
      "there are no pods",
      critical,
      [],
      { cpu: "100m" },
      "no set of running pods found to reclaim resources: [(res: cpu, q: 100), ]",
    ],
    ["one is just enough", critical, [guaranteed], { cpu: "100m", memory: "100Mi" }, ["guaranteed"]],
    [
      "nobody has so much",
      critical,
      [guaranteed],
      { cpu: "200m" },
      "no set of running pods found to reclaim resources: [(res: cpu, q: 100), ]",
    ],
    [
      "a place: best effort before burstable",
      critical,
      [burstable, bestEffort],
      { pods: 1 },
      ["best-effort"],
    ],
    ["a place: burstable before guaranteed", critical, [guaranteed, burstable], { pods: 1 }, ["burstable"]],
    [
      "the small burstable is enough",
      critical,
      [burstable, bigBurstable],
      { cpu: "100m", memory: "100Mi" },
      ["burstable"],
    ],
    [
      "the small one is not",
      critical,
      [burstable, bigBurstable],
      { cpu: "150m", memory: "150Mi" },
      ["big-burstable"],
    ],
    ["both are needed", critical, all, { cpu: "350m", memory: "350Mi" }, ["big-burstable", "burstable"]],
    [
      "guaranteed only where it must be, and no burstable too many",
      critical,
      [burstable, bigBurstable, guaranteed, bigGuaranteed],
      { memory: "550Mi" },
      ["big-burstable", "big-guaranteed"],
    ],
    [
      "node-critical before cluster-critical",
      nodeCritical,
      [clusterCritical],
      { cpu: "100m" },
      ["cluster-critical"],
    ],
    [
      "not the other way round",
      clusterCritical,
      [nodeCritical],
      { cpu: "100m" },
      "no set of running pods found to reclaim resources: [(res: cpu, q: 100), ]",
    ],
  ])("%s", (_name, preemptor, running, missing, victims) => {
    expect(names(podsToPreempt(preemptor, running, amounts(missing)))).toEqual(victims);
  });

  // kubelet: TestAdmissionRequirementsDistance
  it("takes who comes nearest to all that is missing before who has one of it in full", () => {
    const missing = amounts({ cpu: "500m", memory: "500Mi" });
    const [half, other] = [of("half", 250, 250, false), of("other", 250, 250, false)];
    const onlyCpu = of("only-cpu", 500, 0, false);
    expect(names(podsToPreempt(critical, [onlyCpu, half, other], missing))).toEqual(["half", "other"]);
    // More than is missing counts for no more than enough.
    const large = of("large", 5000, 500, false);
    expect(names(podsToPreempt(critical, [half, large, other], missing))).toEqual(["large"]);
  });

  // kubelet: TestAdmissionRequirementsSubtract
  it("no longer misses what it has, and never less than nothing", () => {
    const missing = amounts({ cpu: "200m", memory: "50Mi", pods: 1 });
    expect(podsToPreempt(critical, [guaranteed], missing)).toBe(
      "no set of running pods found to reclaim resources: [(res: cpu, q: 100), ]",
    );
  });

  // kubelet: TestSmallerResourceRequest: equal distances
  it("decides by memory, then cpu, between equals", () => {
    const [small, large] = [of("small", 200, 100, false), of("large", 100, 200, false)];
    expect(names(podsToPreempt(critical, [large, small], new Map([["pods", 1]])))).toEqual(["small"]);
    expect(names(podsToPreempt(critical, [small, large], new Map([["pods", 1]])))).toEqual(["small"]);
  });

  // kubelet: TestIsPreemptable
  it("lets critical pods go before others, and higher priorities before lower ones", () => {
    expect(isPreemptable(critical, guaranteed)).toBe(true);
    expect(isPreemptable(critical, critical)).toBe(false);
    expect(isPreemptable(guaranteed, bestEffort)).toBe(false);
    expect(isPreemptable(of("a", 1, 1, true, 5), of("b", 1, 1, true, 4))).toBe(true);
    expect(isPreemptable(of("a", 1, 1, true, 4), of("b", 1, 1, true, 4))).toBe(false);
    // Static pods are all critical: their numbers decide, where both have one.
    const [low, high] = [4, 5].map((priority) => isStatic(of("static", 1, 1, true, priority)));
    expect(isPreemptable(high!, low!)).toBe(true);
    expect(isPreemptable(low!, high!)).toBe(false);
    expect(isPreemptable(high!, critical)).toBe(false);
    expect(isPreemptable(isStatic(nodeCritical), critical)).toBe(false);
  });

  it("where static pods may go, those below the system's own priority are pods like others", () => {
    const options = { staticPodsMayGo: true };
    const system = isStatic(nodeCritical);
    expect(isPreemptable(system, critical, options)).toBe(true);
    expect(isPreemptable(critical, bestEffort, options)).toBe(false);
    expect(isPreemptable(system, isStatic(clusterCritical), options)).toBe(true);
    expect(isPreemptable(isStatic(clusterCritical), system, options)).toBe(false);
    expect(podsToPreempt(system, [critical], amounts({ cpu: "100m" }), options)).toEqual([critical]);
    const shortage = { resource: "cpu", requested: 100, used: 900, capacity: 950 };
    const short: FitFailure = { reason: "OutOfcpu", message: "", shortage };
    expect(computePreemption(critical, [short], [bestEffort], options)).toEqual({
      kind: "refuse",
      failures: [short],
    });
  });

  // kubelet: TestHandleAdmissionFailure
  describe("of a pod that was refused", () => {
    const shortage = { resource: "cpu", requested: 100, used: 900, capacity: 950 };
    const short: FitFailure = { reason: "OutOfcpu", message: "", shortage };
    const elsewhere: FitFailure = { reason: "NodeAffinity", message: "" };

    it("that is not critical: nobody goes", () => {
      expect(computePreemption(guaranteed, [short, elsewhere], all)).toEqual({
        kind: "refuse",
        failures: [short, elsewhere],
      });
    });
    it("that resources alone would not help: nobody goes", () => {
      expect(computePreemption(critical, [short, elsewhere], all)).toEqual({
        kind: "refuse",
        failures: [elsewhere],
      });
    });
    it("that lacks resources: as much goes as is missing", () => {
      expect(computePreemption(critical, [short], all)).toEqual({
        kind: "preempt",
        victims: [burstable],
        signal: "cpu",
      });
    });
    it("that nobody's end would help", () => {
      const plan = computePreemption(critical, [short], [bestEffort]);
      expect(plan).toEqual({
        kind: "impossible",
        message:
          "Unexpected error while attempting to recover from admission failure: preemption: error finding a set of pods to preempt: no set of running pods found to reclaim resources: [(res: cpu, q: 50), ]",
      });
    });
  });
});
