// SPDX-License-Identifier: Apache-2.0

/** What the pod side takes from the machine it runs on. A simulation fills all of it with memory. */
import type { Clock } from "@holdfast/core/clock";
import type { Random } from "@holdfast/core/random";
import { seededRandom } from "@holdfast/core/random";
import { FileLastGoodManifests, NodeManifestFolder, nodePodFiles } from "@holdfast/pod";
import type { LastGoodManifests, ManifestFolder, PodFiles } from "@holdfast/pod";
import { openCgroupTree, systemdSlices } from "@holdfast/resource";
import type { CgroupTree, SystemdSlices } from "@holdfast/resource";
import { volumeHost } from "@holdfast/volume";
import type { VolumeHost } from "@holdfast/volume";
import type { AgentConfig } from "../config/agent-config.ts";
import { readHostFile } from "./host-files.ts";

/** Everything between the pod side and the machine, but for the runtime, the state folder and the clock. */
export interface MachinePorts {
  /** Pods' folders, logs and links to logs. */
  readonly files: PodFiles;
  readonly manifests: ManifestFolder;
  readonly lastGood: LastGoodManifests;
  readonly cgroups: CgroupTree;
  /** Used with the systemd driver only. */
  readonly systemd: SystemdSlices;
  readonly volumes: VolumeHost;
  /** Text of one of the host's files; "" when it is missing. */
  readonly readHostFile: (path: string) => Promise<string>;
  /** For jitter. */
  readonly random: Random;
}

/** kubelet: the folder of links for log collectors. */
export const LEGACY_LOG_LINKS = "/var/log/containers";

/** What {@link realMachinePorts} needs to know. */
export interface RealMachineOptions {
  readonly config: AgentConfig;
  readonly clock: Clock;
  readonly podsDir: string;
}

/** The ports of the machine that this process runs on. */
export function realMachinePorts({ config, clock, podsDir }: RealMachineOptions): MachinePorts {
  return {
    files: nodePodFiles([podsDir, config.podLogsDir, LEGACY_LOG_LINKS]),
    manifests: new NodeManifestFolder(config.staticPodPath),
    lastGood: new FileLastGoodManifests(`${config.stateDir}/last-good-manifests`),
    cgroups: openCgroupTree(),
    systemd: systemdSlices,
    volumes: volumeHost,
    readHostFile,
    random: seededRandom(process.pid ^ clock.now()),
  };
}
