// SPDX-License-Identifier: Apache-2.0

/** The device side of an agent as a process of its own, told over IPC what to do. */
import process from "node:process";
import { idsOf, RESOURCE } from "../fake-plugin.ts";
import { startAgent } from "../device-agent.ts";
import type { DeviceAgent } from "../device-agent.ts";
import type { AgentCall, AgentState, PodFacts } from "./messages.ts";
import { answer } from "./answer.ts";

let facts: PodFacts = { active: [], running: [] };
let agent: DeviceAgent | undefined;

async function carryOut(call: AgentCall): Promise<unknown> {
  if (call.do === "start") {
    facts = call;
    agent = await startAgent(call.folder, {
      bootId: call.bootId,
      // Whether a device can be given is then what the plugin says.
      hysteresis: { flaps: 1000 },
      reconnectMs: 50,
      machineNodes: [0, 1],
      pods: {
        activePods: () => new Set(facts.active),
        isRunning: (uid, container) => facts.running.includes(`${uid}/${container}`),
      },
    });
    return undefined;
  }
  if (agent === undefined) throw new Error("not started");
  const { manager } = agent;
  switch (call.do) {
    case "facts":
      facts = call;
      return undefined;
    case "admit":
      manager.collectGarbage();
      return manager.admit(call.pod);
    case "devices": {
      const { envs } = await manager.containerDevices(call.pod, call.pod.spec.containers[0]!);
      return { given: envs[0]?.value.split(",") ?? [], recorded: idsOf(manager, call.pod, "app") };
    }
    case "release":
      return manager.release(call.podUid);
    case "state":
      return state(agent);
  }
}

function state({ manager }: DeviceAgent): AgentState {
  const [resource] = manager.resources();
  const devices = manager.snapshot().flatMap((one) => one.devices);
  return {
    records: manager.records
      .all()
      .filter(({ resource: name }) => name === RESOURCE)
      .map(({ podUid, container, ids }) => ({ podUid, container, ids })),
    capacity: resource?.capacity ?? 0,
    allocatable: resource?.allocatable ?? 0,
    healthy: devices.filter(({ health }) => health === "Healthy").map(({ id }) => id),
  };
}

answer(carryOut);
process.once("disconnect", () => process.exit(0));
