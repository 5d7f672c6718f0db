// SPDX-License-Identifier: Apache-2.0

import { describe, expect, it } from "vitest";
import { computePodActions } from "../../src/kuberuntime/compute-pod-actions.ts";
import type { ProbeResults } from "../../src/ports.ts";
import { container, exited, makePod, record, sandbox, sidecar, status } from "./fixtures.ts";
import type { PodParts } from "./fixtures.ts";

type Verdict = "success" | "failure";
interface Case {
  readonly name: string;
  readonly policy?: "Always" | "OnFailure" | "Never";
  readonly sidecars?: boolean;
  readonly probe?: "startupProbe" | "livenessProbe";
  readonly records: readonly (readonly [string, Parameters<typeof record>[2]])[];
  readonly notready?: boolean;
  readonly verdicts?: Readonly<Record<string, { startup?: Verdict; liveness?: Verdict }>>;
  readonly start?: string[];
  readonly init?: string[];
  readonly kill?: boolean;
  readonly create?: boolean;
  readonly killed?: string[];
}

const INITS = ["init1", "init2", "init3"];
const MAIN = ["foo1", "foo2", "foo3"];
const runningMain = MAIN.map((name) => [name, {}] as const);
const done = (name: string): readonly [string, Parameters<typeof record>[2]] => [name, exited(0)];

// kubelet: TestComputePodActionsWithInitContainers
const INIT_CASES: readonly Case[] = [
  { name: "initialization completed; start all containers", records: INITS.map(done), start: MAIN },
  { name: "no init containers have been started; start the first one", records: [], init: ["init1"] },
  { name: "initialization in progress; do nothing", records: [done("init1"), ["init2", {}]] },
  { name: "the first one is done; start the next one", records: [done("init1")], init: ["init2"] },
  {
    name: "Kill pod and restart the first init container if the pod sandbox is dead",
    records: [done("init1"), done("init2")],
    notready: true,
    kill: true,
    create: true,
    init: ["init1"],
  },
  {
    name: "initialization failed; restart the last init container if RestartPolicy == Always",
    records: [done("init1"), done("init2"), ["init3", exited(1)]],
    init: ["init3"],
  },
  {
    name: "initialization failed; restart the last init container if RestartPolicy == OnFailure",
    policy: "OnFailure",
    records: [done("init1"), done("init2"), ["init3", exited(1)]],
    init: ["init3"],
  },
  {
    name: "initialization failed; kill pod if RestartPolicy == Never",
    policy: "Never",
    records: [done("init1"), done("init2"), ["init3", exited(1)]],
    kill: true,
  },
  {
    name: "init container state unknown; kill and recreate the last init container if RestartPolicy == Always",
    records: [done("init1"), done("init2"), ["init3", { state: "unknown" }]],
    init: ["init3"],
    killed: ["init3"],
  },
  {
    name: "init container state unknown; kill pod if RestartPolicy == Never",
    policy: "Never",
    records: [done("init1"), done("init2"), ["init3", { state: "unknown" }]],
    kill: true,
  },
  {
    name: "Pod sandbox not ready, init container failed, but RestartPolicy == Never; kill pod only",
    policy: "Never",
    records: [["init1", exited(1)]],
    notready: true,
    kill: true,
  },
  {
    name: "some of the init container statuses are missing but the last init container is running, don't restart preceding ones",
    records: [["init3", {}]],
  },
  {
    name: "an init container is in the created state due to an unknown error when starting container; restart it",
    records: [["init3", { state: "created" }]],
    init: ["init3"],
  },
  {
    name: "killed for memory with exit code 0 is a failure",
    records: [["init1", exited(0, "OOMKilled")]],
    init: ["init1"],
  },
  {
    name: "main containers run: init containers are not looked at",
    records: [...runningMain, ["init3", exited(1)]],
  },
  {
    name: "exited main containers do not prove that the pod was initialised",
    records: MAIN.map((name) => [name, exited(255)]),
    init: ["init1"],
  },
];

// kubelet: TestComputePodActionsWithRestartableInitContainers
const SIDECAR_CASES: readonly Case[] = [
  {
    name: "initialization completed; start all containers",
    records: [
      ["init1", {}],
      ["init2", {}],
      ["init3", {}],
    ],
    start: MAIN,
  },
  { name: "no init containers have been started; start the first one", records: [], init: ["init1"] },
  { name: "a sidecar runs: start the next", records: [["init1", {}]], init: ["init2"] },
  {
    name: "startupProbe has not been run; do nothing",
    probe: "startupProbe",
    records: [["init1", {}]],
  },
  {
    name: "startupProbe has completed; start the next",
    probe: "startupProbe",
    records: [["init1", {}]],
    verdicts: { init1: { startup: "success" } },
    init: ["init2"],
  },
  {
    name: "startupProbe has failed; kill and restart",
    probe: "startupProbe",
    records: [["init1", {}]],
    verdicts: { init1: { startup: "failure" } },
    init: ["init1"],
    killed: ["init1"],
  },
  {
    name: "livenessProbe has not been run; start the nothing",
    probe: "livenessProbe",
    records: [["init1", {}]],
    init: ["init2"],
  },
  {
    name: "livenessProbe failed: restart it, and the next one starts too",
    probe: "livenessProbe",
    records: [["init1", {}]],
    verdicts: { init1: { liveness: "failure" } },
    init: ["init1", "init2"],
    killed: ["init1"],
  },
  {
    name: "initialization failed; restart the last restartable init container even if pod's RestartPolicy == Never",
    policy: "Never",
    records: [
      ["init1", {}],
      ["init2", {}],
      ["init3", exited(1)],
    ],
    init: ["init3"],
  },
  {
    name: "kill the pod if all main containers succeeded if pod's RestartPolicy == Never",
    policy: "Never",
    records: [["init1", {}], ["init2", {}], ["init3", {}], ...MAIN.map(done)],
    kill: true,
  },
  {
    name: "some of the init container statuses are missing but the last init container is running, restart restartable init and regular containers",
    records: [["init3", {}]],
    init: ["init1", "init2"],
    start: MAIN,
  },
  {
    name: "a sidecar that exited beside running main containers is started again",
    policy: "Never",
    records: [["init1", exited(0)], ["init2", {}], ["init3", {}], ...runningMain],
    init: ["init1"],
  },
  {
    name: "initialization in progress; sidecar unknown: kill and start",
    records: [["init1", { state: "unknown" }]],
    init: ["init1"],
    killed: ["init1"],
  },
];

/** What is asserted: plan and expectation, in the same shape. */
function planned(one: Case): { readonly actual: object; readonly wanted: object } {
  const make = one.sidecars === true ? sidecar : container;
  const probe = one.probe === undefined ? {} : { [one.probe]: { tcpSocket: { port: 1 } } };
  const parts: PodParts = {
    spec: { restartPolicy: one.policy ?? "Always", initContainers: INITS.map((name) => make(name, probe)) },
  };
  const pod = makePod(parts);
  const runtime = status(
    pod,
    one.records.map(([name, more]) => record(pod, name, more)),
    [sandbox({ state: one.notready === true ? "notready" : "ready" })],
  );
  const nameOf = (id: string): string => runtime.containers.find((found) => found.id === id)?.name ?? "";
  const probes: ProbeResults = {
    liveness: (id) => one.verdicts?.[nameOf(id)]?.liveness,
    startup: (id) => one.verdicts?.[nameOf(id)]?.startup,
  };
  const actions = computePodActions(pod, runtime, probes);
  const actual = {
    kill: actions.killPod,
    create: actions.createSandbox,
    init: actions.initContainersToStart.map(({ name }) => name),
    start: actions.containersToStart.map(({ name }) => name),
    killed: [...actions.containersToKill.values()].map((kill) => kill.container.name),
  };
  const wanted = {
    kill: one.kill ?? false,
    create: one.create ?? false,
    init: one.init ?? [],
    start: one.start ?? [],
    killed: one.killed ?? [],
  };
  return { actual, wanted };
}

describe("computePodActions with init containers", () => {
  it.each(INIT_CASES)("$name", (one) => {
    const { actual, wanted } = planned(one);
    expect(actual).toEqual(wanted);
  });
});

describe("computePodActions with sidecars", () => {
  it.each(SIDECAR_CASES)("$name", (one) => {
    const { actual, wanted } = planned({ ...one, sidecars: true });
    expect(actual).toEqual(wanted);
  });
});
