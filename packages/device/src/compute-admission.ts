// SPDX-License-Identifier: Apache-2.0

/**
 * What is to be done for one resource of one container before the pod may begin. Pure. kubelet: devicesToAllocate, up to the choice.
 *
 * Where the kubelet fails a pod for ever because a plugin is slow after a restart, this waits, for a time; and a pod that was admitted before in this boot
 * of the machine is never refused again: its containers run, or may be started again, with what they were given.
 */
import type { PoolPhase } from "./resource-pool.ts";

/** What the decision is made from. */
export interface AdmissionQuestion {
  readonly podUid: string;
  readonly container: string;
  readonly resource: string;
  readonly requested: number;
  readonly recorded:
    | {
        readonly ids: readonly string[];
        /** The record was made in this boot of the machine. */
        readonly thisBoot: boolean;
      }
    | undefined;
  /** A container of this name runs: it was let in by an agent before. */
  readonly running: boolean;
  /** Undefined: nobody ever offered the resource here. */
  readonly pool:
    | {
        readonly phase: PoolPhase;
        /** It may still come: not all of the time to wait has passed. */
        readonly mayCome: boolean;
        readonly healthy: { has(id: string): boolean; readonly size: number };
      }
    | undefined;
}

/** `keep`: nothing to do. `allocate`: choose, beginning with `sticky`. */
export type AdmissionStep =
  | { readonly kind: "keep" }
  | { readonly kind: "allocate"; readonly sticky: readonly string[] }
  | { readonly kind: "wait"; readonly message: string }
  | { readonly kind: "refuse"; readonly message: string };

/** One resource of one container. */
export function computeAdmission(question: AdmissionQuestion): AdmissionStep {
  const { podUid, container, resource, requested, recorded, running, pool } = question;
  const held = recorded?.ids.length ?? 0;
  if (recorded !== undefined && held !== requested)
    return refuse(
      `pod "${podUid}" container "${container}" changed request for resource "${resource}" from ${held} to ${requested}`,
    );
  if (recorded?.thisBoot === true || running) return { kind: "keep" };
  if (pool === undefined || pool.phase === "removed") {
    // Nothing was asked for: the kubelet, too, skips what it does not know.
    return requested === 0 ? { kind: "keep" } : refuse(`cannot allocate unregistered device ${resource}`);
  }
  if (pool.phase !== "listing") {
    if (pool.mayCome) return { kind: "wait", message: waitText(resource, pool.phase) };
    return refuse(
      pool.phase === "unseen"
        ? `cannot allocate unregistered device ${resource}`
        : `no healthy devices present; cannot allocate unhealthy devices ${resource}`,
    );
  }
  if (pool.healthy.size === 0)
    return refuse(`no healthy devices present; cannot allocate unhealthy devices ${resource}`);
  if (requested === 0) return { kind: "keep" };
  const sticky = recorded?.ids ?? [];
  return { kind: "allocate", sticky: sticky.filter((id) => pool.healthy.has(id)) };
}

/** Of a pod of an earlier boot whose devices are no longer good, and for which no others are free. */
export function lostDevicesText(resource: string): string {
  return `previously allocated devices are no longer healthy; cannot allocate unhealthy devices ${resource}`;
}

function waitText(resource: string, phase: PoolPhase): string {
  switch (phase) {
    case "unseen":
      return `the device plugin of ${resource} has not registered since the agent started`;
    case "connected":
      return `the device plugin of ${resource} has registered, and not listed its devices yet`;
    default:
      return `the device plugin of ${resource} is gone and may come back`;
  }
}

function refuse(message: string): AdmissionStep {
  return { kind: "refuse", message };
}
