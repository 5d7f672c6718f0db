// SPDX-License-Identifier: Apache-2.0

/**
 * Tells the PLEG what the pods' workers have had made, before any list shows it, and what they take away, before lists lack it: of a list that lacks
 * anything else the PLEG then knows that it may be wrong.
 *
 * Owns nothing. A gap costs only that: what was made is known by the next list that shows it, and what is gone is asked for once.
 */
import type { EnvelopeOf, Gap, Subscriber } from "@holdfast/bus";
import type { Component } from "@holdfast/core/lifecycle";
import type { GenericPLEG } from "@holdfast/pleg";
import {
  ContainerCreated,
  ContainerCreating,
  ContainerRemoving,
  SandboxCreated,
  SandboxRemoving,
} from "@holdfast/pod";
import { BusRelay } from "./bus-relay.ts";

const TYPES = [
  ContainerCreating,
  ContainerCreated,
  SandboxCreated,
  ContainerRemoving,
  SandboxRemoving,
] as const;
const CAPACITY = 1024;

type Pleg = Pick<GenericPLEG, "noteLeaving" | "noteMade" | "noteMaking">;

/** See the top of the file. */
export function madeRelay(bus: Subscriber, pleg: Pleg): Component {
  return new BusRelay(
    "made-relay",
    (name) => bus.subscribe(TYPES, { name, capacity: CAPACITY, overflow: "drop-oldest" }),
    (event) => note(pleg, event),
  );
}

function note(pleg: Pleg, event: EnvelopeOf<(typeof TYPES)[number]> | Gap): void {
  if (event.type === "gap") return;
  const { podUid, container: name = "" } = event.subject;
  if (podUid === undefined) return;
  switch (event.type) {
    case "pod/ContainerCreating":
      pleg.noteMaking(podUid);
      break;
    case "pod/ContainerCreated":
      pleg.noteMade({ kind: "container", id: event.data.containerId, podUid, name });
      break;
    case "pod/SandboxCreated":
      pleg.noteMade({ kind: "sandbox", id: event.data.sandboxId, podUid, name: "" });
      break;
    case "pod/ContainerRemoving":
      pleg.noteLeaving(podUid, event.data.containerId);
      break;
    case "pod/SandboxRemoving":
      pleg.noteLeaving(podUid, event.data.sandboxId);
      break;
    default:
      event satisfies never;
  }
}
