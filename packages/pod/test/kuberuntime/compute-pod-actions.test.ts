// SPDX-License-Identifier: Apache-2.0

import type { Pod } from "@holdfast/core/pod-types";
import type { RuntimePodStatus, SandboxRecord } from "@holdfast/core/runtime-status";
import { describe, expect, it } from "vitest";
import { computePodActions } from "../../src/kuberuntime/compute-pod-actions.ts";
import type { ProbeResults } from "../../src/ports.ts";
import { container, exited, makePod, record, sandbox, status } from "./fixtures.ts";
import type { PodParts } from "./fixtures.ts";

const noProbes: ProbeResults = { liveness: () => undefined, startup: () => undefined };
const ALL = ["foo1", "foo2", "foo3"];

interface Plan {
  kill?: true;
  create?: true;
  attempt?: number;
  start?: string[];
  killed?: string[];
  awaiting?: string[];
}

function planOf(pod: Pod, runtime: RuntimePodStatus, probes = noProbes): Plan {
  const actions = computePodActions(pod, runtime, probes);
  const plan: Plan = {};
  if (actions.killPod) plan.kill = true;
  if (actions.createSandbox) plan.create = true;
  if (actions.attempt > 0) plan.attempt = actions.attempt;
  if (actions.containersToStart.length > 0) plan.start = actions.containersToStart.map(({ name }) => name);
  if (actions.containersToKill.size > 0)
    plan.killed = [...actions.containersToKill.values()].map(
      (kill) => `${kill.container.name}: ${kill.reason}`,
    );
  if (actions.awaitingConfirmation.length > 0) plan.awaiting = [...actions.awaitingConfirmation];
  expect(actions.initContainersToStart).toEqual([]);
  return plan;
}

type Records = readonly (readonly [string, Parameters<typeof record>[2]])[];
interface Case {
  readonly name: string;
  readonly pod?: PodParts;
  readonly records?: Records;
  readonly sandboxes?: readonly SandboxRecord[];
  readonly probes?: Partial<Record<"liveness" | "startup", "success" | "failure">>;
  readonly plan: Plan;
}

const running: Records = ALL.map((name) => [name, {}]);
const dead = [sandbox({ state: "notready" })];
const changed = (first: Parameters<typeof record>[2]): Records => [["foo1", first], ...running.slice(1)];

// kubelet: TestComputePodActions
const CASES: readonly Case[] = [
  { name: "everything is good; do nothing", records: running, plan: {} },
  {
    name: "start pod sandbox and all containers for a new pod",
    sandboxes: [],
    plan: { kill: true, create: true, start: ALL },
  },
  {
    name: "restart exited containers if RestartPolicy == Always",
    records: [
      ["foo1", exited(0)],
      ["foo2", exited(111)],
      ["foo3", {}],
    ],
    plan: { start: ["foo1", "foo2"] },
  },
  {
    name: "restart failed containers if RestartPolicy == OnFailure",
    pod: { spec: { restartPolicy: "OnFailure" } },
    records: [
      ["foo1", exited(0)],
      ["foo2", exited(111)],
      ["foo3", {}],
    ],
    plan: { start: ["foo2"] },
  },
  {
    name: "don't restart containers if RestartPolicy == Never",
    pod: { spec: { restartPolicy: "Never" } },
    records: [
      ["foo1", exited(0)],
      ["foo2", exited(111)],
      ["foo3", {}],
    ],
    plan: {},
  },
  {
    name: "Kill pod and recreate everything if the pod sandbox is dead, and RestartPolicy == Always",
    records: running,
    sandboxes: dead,
    plan: { kill: true, create: true, attempt: 1, start: ALL },
  },
  {
    name: "Kill pod and recreate all containers (except for the succeeded one) if the pod sandbox is dead, and RestartPolicy == OnFailure",
    pod: { spec: { restartPolicy: "OnFailure" } },
    records: [
      ["foo1", {}],
      ["foo2", exited(0)],
      ["foo3", {}],
    ],
    sandboxes: dead,
    plan: { kill: true, create: true, attempt: 1, start: ["foo1", "foo3"] },
  },
  {
    name: "Kill pod and recreate all containers if the PodSandbox does not have an IP",
    records: running,
    sandboxes: [sandbox({ ip: "" })],
    plan: { kill: true, create: true, attempt: 1, start: ALL },
  },
  {
    name: "no network status at all is no reason",
    records: running,
    sandboxes: [sandbox({ ip: undefined })],
    plan: {},
  },
  {
    name: "two ready sandboxes are one too many",
    records: running,
    sandboxes: [sandbox({ id: "sandbox-1", attempt: 1 }), sandbox()],
    plan: { kill: true, create: true, attempt: 2, start: ALL },
  },
  {
    name: "hostNetwork has changed",
    pod: { spec: { hostNetwork: true } },
    records: running,
    plan: { kill: true, create: true, attempt: 1, start: ALL },
  },
  {
    name: "Kill and recreate the container if the container's spec changed",
    records: changed({ hash: "0" }),
    plan: { killed: ["foo1: SpecChanged"], start: ["foo1"] },
  },
  {
    name: "the spec changed, whatever the restart policy",
    pod: { spec: { restartPolicy: "Never" } },
    records: changed({ hash: "0" }),
    plan: { killed: ["foo1: SpecChanged"], start: ["foo1"] },
  },
  {
    name: "Kill and recreate the container if the liveness check has failed",
    records: running,
    probes: { liveness: "failure" },
    plan: { killed: ["foo1: LivenessProbe"], start: ["foo1"] },
  },
  {
    name: "Kill and recreate the container if the startup check has failed",
    records: running,
    probes: { startup: "failure" },
    plan: { killed: ["foo1: StartupProbe"], start: ["foo1"] },
  },
  {
    name: "a failed liveness check with RestartPolicy == Never only kills",
    pod: { spec: { restartPolicy: "Never" } },
    records: running,
    probes: { liveness: "failure" },
    plan: { killed: ["foo1: LivenessProbe"] },
  },
  {
    name: "Verify we do not create a pod sandbox if no ready sandbox for pod with RestartPolicy=Never and all containers exited",
    pod: { spec: { restartPolicy: "Never" } },
    records: ALL.map((name) => [name, exited(0)]),
    sandboxes: [sandbox({ state: "notready", attempt: 1 })],
    plan: { kill: true, attempt: 2 },
  },
  {
    name: "Verify we do not create a pod sandbox if no ready sandbox for pod with RestartPolicy=OnFailure and all containers succeeded",
    pod: { spec: { restartPolicy: "OnFailure" } },
    records: ALL.map((name) => [name, exited(0)]),
    sandboxes: [sandbox({ state: "notready", attempt: 1 })],
    plan: { kill: true, attempt: 2 },
  },
  {
    name: "unlike the kubelet: containers that were created and never started have not run, and a Never pod gets its sandbox",
    pod: { spec: { restartPolicy: "Never" } },
    records: [["foo1", { state: "created" }]],
    sandboxes: dead,
    plan: { kill: true, create: true, attempt: 1, start: ALL },
  },
  {
    name: "Verify we create a pod sandbox if no ready sandbox for pod with RestartPolicy=Never and no containers have ever been created",
    pod: { spec: { restartPolicy: "Never" } },
    sandboxes: [sandbox({ state: "notready", attempt: 1 })],
    plan: { kill: true, create: true, attempt: 2, start: ALL },
  },
  {
    name: "Kill and recreate the container if the container is in unknown state",
    records: changed({ state: "unknown" }),
    plan: { killed: ["foo1: Unknown"], start: ["foo1"] },
  },
  {
    name: "Restart the container if the container is in created state",
    records: changed({ state: "created" }),
    plan: { start: ["foo1"] },
  },
  {
    name: "restart created but not started containers if RestartPolicy == OnFailure",
    pod: { spec: { restartPolicy: "OnFailure" } },
    records: [
      ["foo1", { state: "created" }],
      ["foo2", exited(111)],
      ["foo3", {}],
    ],
    plan: { start: ["foo1", "foo2"] },
  },
  {
    name: "all exited under Never: the pod is killed",
    pod: { spec: { restartPolicy: "Never" } },
    records: ALL.map((name) => [name, exited(1)]),
    plan: { kill: true },
  },
  {
    name: "a pod that is being deleted starts nothing",
    pod: { metadata: { deletionTimestamp: "2026-01-01T00:00:00Z" } },
    records: [
      ["foo1", exited(1)],
      ["foo2", {}],
      ["foo3", {}],
    ],
    plan: {},
  },
  {
    name: "a container's own policy beats the pod's",
    pod: {
      spec: {
        restartPolicy: "Never",
        containers: [container("foo1", { restartPolicy: "OnFailure" }), container("foo2")],
      },
    },
    records: [
      ["foo1", exited(3)],
      ["foo2", {}],
    ],
    plan: { start: ["foo1"] },
  },
  {
    name: "an unconfirmed exit is restarted at once",
    records: changed({ ...exited(137), exitUnconfirmed: true }),
    plan: { start: ["foo1"] },
  },
  {
    name: "an unconfirmed exit with a shared process namespace waits",
    pod: { spec: { shareProcessNamespace: true } },
    records: changed({ ...exited(137), exitUnconfirmed: true }),
    plan: { awaiting: ["foo1"] },
  },
  {
    name: "an unconfirmed exit with hostPID waits, also when it is the only container",
    pod: { spec: { hostPID: true, containers: [container("foo1")] } },
    records: [["foo1", { ...exited(137), exitUnconfirmed: true }]],
    plan: { awaiting: ["foo1"] },
  },
];

describe("computePodActions", () => {
  it.each(CASES)("$name", ({ pod: parts, records = [], sandboxes, probes = {}, plan }) => {
    const pod = makePod(parts);
    const runtime = status(
      pod,
      records.map(([name, more]) => record(pod, name, more)),
      sandboxes,
    );
    const first = runtime.containers[0]?.id;
    const results: ProbeResults = {
      liveness: (id) => (id === first ? probes.liveness : undefined),
      startup: (id) => (id === first ? probes.startup : undefined),
    };
    expect(planOf(pod, runtime, results)).toEqual(plan);
  });

  it("only the newest record of a name counts", () => {
    const pod = makePod({ spec: { containers: [container("foo1")] } });
    const runtime = status(pod, [record(pod, "foo1", { attempt: 1 }), record(pod, "foo1", exited(1))]);
    expect(planOf(pod, runtime)).toEqual({});
  });
});
