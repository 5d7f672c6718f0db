// SPDX-License-Identifier: Apache-2.0

/**
 * Tells the CPU manager of each container that started: it may have been created with a pool that has changed since.
 * Owns nothing. A gap costs nothing: one hint is as good as many.
 */
import type { Subscriber } from "@holdfast/bus";
import type { Component } from "@holdfast/core/lifecycle";
import { ContainerStarted } from "@holdfast/pleg";
import type { CpuManager } from "@holdfast/resource";
import { BusRelay } from "./bus-relay.ts";

/** See the top of the file. */
export function cpuStartRelay(bus: Subscriber, cpu: Pick<CpuManager, "requestReconcile">): Component {
  return new BusRelay(
    "cpu-start-relay",
    (name) => bus.subscribe([ContainerStarted], { name, capacity: 16, overflow: "drop-oldest" }),
    () => cpu.requestReconcile(),
  );
}
