// SPDX-License-Identifier: Apache-2.0

/** Probes for those who have an address and no pods. */
import { systemClock } from "@holdfast/core/node";
import type { Pod, Probe } from "@holdfast/core/pod-types";
import { nullPublisher } from "@holdfast/bus";
import type { Publisher } from "@holdfast/bus";
import { buildProbeRequest } from "../build-probe-request.ts";
import { ProbeResultChanged } from "../events.ts";
import type { ProbeResultChange } from "../events.ts";
import { DEFAULT_USER_AGENT } from "../http-request.ts";
import { proberError } from "../outcome.ts";
import type { ProbeOutcome } from "../outcome.ts";
import { ProbeManager } from "../probe-manager.ts";
import { resolveProbe } from "../probe-spec.ts";
import { nodeProbeHandlers } from "./node-probe-handlers.ts";

const CONTAINER = "target";

/** Makes one attempt over the network within `timeoutSeconds` (default 1). Never rejects. `host` is for probes that name none. */
export function probeOnce(probe: Probe, host = "127.0.0.1"): Promise<ProbeOutcome> {
  const spec = resolveProbe(probe);
  const container = { name: CONTAINER, image: "" };
  const facts = { container, spec, containerId: "", podIp: host, userAgent: DEFAULT_USER_AGENT };
  const request = buildProbeRequest(facts);
  if (request.handler === "none") return Promise.resolve(request.outcome);
  if (request.handler === "exec")
    return Promise.resolve(proberError("handler", "there is no runtime to run commands with"));
  return new Promise((resolve) => {
    const run = nodeProbeHandlers.start(request, (outcome) => {
      timer.cancel();
      resolve(outcome);
    });
    const timer = systemClock.timer(spec.timeoutMs, () => run.expire());
  });
}

/** How a {@link watchAddress} goes. */
export interface WatchAddressOptions {
  /** Periods, thresholds and delays hold as in a pod; the verdict begins as a failure. */
  readonly probe: Probe;
  /** Default 127.0.0.1. */
  readonly host?: string;
  /** Called after each change of the verdict. Must not throw. */
  readonly onChange: (change: ProbeResultChange) => void;
}

/** Probes an address until it is disposed of. */
export async function watchAddress(options: WatchAddressOptions): Promise<ProbeManager> {
  const { probe, host = "127.0.0.1", onChange } = options;
  const pod: Pod = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "address", namespace: "default", uid: "address" },
    spec: { containers: [{ name: CONTAINER, image: "", readinessProbe: probe }] },
  };
  const record = { id: host, name: CONTAINER, state: "running", exitCode: 0 } as const;
  const startedAt = systemClock.now();
  const publish: Publisher = {
    publish(type, data, more) {
      if (type.name === ProbeResultChanged.name) onChange(data as ProbeResultChange);
      return nullPublisher.publish(type, data, more);
    },
  };
  const manager = new ProbeManager({
    clock: systemClock,
    target: { runtimeStatus: () => ({ ips: [host], containers: [{ ...record, startedAt }] }) },
    handlers: nodeProbeHandlers,
    publish,
  });
  manager.addPod(pod);
  await manager.start();
  return manager;
}
