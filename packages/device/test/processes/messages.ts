// SPDX-License-Identifier: Apache-2.0

/** What a test and the processes that it started say to each other. */
import type { Pod } from "@holdfast/core/pod-types";

/** What the agent is told of the pods: a real one asks its pod manager and the runtime. */
export interface PodFacts {
  readonly active: readonly string[];
  /** UID/CONTAINER */
  readonly running: readonly string[];
}

/** To the agent. */
export type AgentCall =
  | ({ readonly do: "start"; readonly folder: string; readonly bootId: string } & PodFacts)
  | ({ readonly do: "facts" } & PodFacts)
  | { readonly do: "admit" | "devices"; readonly pod: Pod }
  | { readonly do: "release"; readonly podUid: string }
  | { readonly do: "state" };

/** What the agent says of itself. */
export interface AgentState {
  readonly records: readonly {
    readonly podUid: string;
    readonly container: string;
    readonly ids: readonly string[];
  }[];
  readonly capacity: number;
  readonly allocatable: number;
  readonly healthy: readonly string[];
}

/** To the plugin. */
export type PluginCall =
  | {
      readonly do: "start";
      readonly folder: string;
      readonly healthy: readonly boolean[];
      /** It registers once in its life, and has no word on which devices are best together. */
      readonly isQuiet: boolean;
    }
  | { readonly do: "health"; readonly healthy: readonly boolean[] }
  /** From now on Allocate is not answered. */
  | { readonly do: "hang" };

/** A call, and the answer to it. */
export interface Asked<C> {
  readonly number: number;
  readonly call: C;
}

export interface Answered {
  readonly number: number;
  readonly answer?: unknown;
  readonly error?: string;
}

/** Said by the plugin without being asked. */
export interface Allocating {
  readonly allocating: readonly string[];
}
