// SPDX-License-Identifier: Apache-2.0

/** Tells log rotation that a container has started: what a fast writer writes until it is found is not bounded otherwise. */
import type { Subscriber } from "@holdfast/bus";
import type { Component } from "@holdfast/core/lifecycle";
import type { ContainerLogManager } from "@holdfast/gc";
import { ContainerStarted } from "@holdfast/pleg";
import { BusRelay } from "./bus-relay.ts";

/** See the top of the file. That there was one start is all that matters. */
export function logAnnouncer(bus: Subscriber, logs: Pick<ContainerLogManager, "targetsChanged">): Component {
  return new BusRelay(
    "log-announcer",
    (name) =>
      bus.subscribe([ContainerStarted], { name, capacity: 1, overflow: "latest-by-key", keyOf: () => "" }),
    () => logs.targetsChanged(),
  );
}
