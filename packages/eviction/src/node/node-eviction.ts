// SPDX-License-Identifier: Apache-2.0

import { systemClock } from "@holdfast/core/node";
import { EvictionManager } from "../eviction-manager.ts";
import { MachineFigures } from "../machine-figures.ts";
import type { MachineFiguresOptions } from "../machine-figures.ts";
import type { EvictionManagerOptions } from "../options.ts";
import { parseThresholdConfig } from "../parse-thresholds.ts";
import type { EvictionSettings } from "../default-thresholds.ts";
import type { PodFigures } from "../ports.ts";
import { nodeMachine } from "./node-machine.ts";

/** How {@link nodeEviction} is called: pods and what they use are the caller's, the machine's figures are read here. */
export interface NodeEvictionOptions
  extends
    Partial<Omit<EvictionManagerOptions, "stats" | "thresholds" | "pods">>,
    Pick<EvictionManagerOptions, "pods">,
    Pick<MachineFiguresOptions, "imageFsPath" | "podsCgroup"> {
  /** Default: the kubelet's thresholds. */
  readonly settings?: EvictionSettings;
  /** What the pods use, asked when one of them has to go. `@holdfast/stats` has it in its summary's `pods`. */
  readonly podFigures: (signal: AbortSignal) => Promise<readonly PodFigures[]>;
  /** A folder on the file system of pods' folders. Default "/". */
  readonly nodeFsPath?: string;
}

/** Eviction on this machine. Nothing is read before the first round: `synchronize()`, or `start()` for one every 10 s. Throws `EVICTION_CONFIG`. */
export function nodeEviction({
  settings = {},
  podFigures,
  nodeFsPath = "/",
  imageFsPath,
  podsCgroup,
  clock = systemClock,
  ...options
}: NodeEvictionOptions): EvictionManager {
  const thresholds = parseThresholdConfig(settings);
  const figures = new MachineFigures({
    clock,
    machine: nodeMachine({ clock }),
    thresholds,
    nodeFsPath,
    podsCgroup,
    ...(imageFsPath !== undefined && { imageFsPath }),
  });
  return new EvictionManager({
    ...options,
    clock,
    thresholds,
    stats: { node: (signal) => figures.node(signal), pods: podFigures },
  });
}
