// SPDX-License-Identifier: Apache-2.0

/**
 * Files that a container needs before it is created: its log folder, /etc/hosts, the termination log, the legacy link.
 *
 * Owns: those files. Invariant: as few file operations as possible lie between an exit and its successor's create, so a log folder that
 * this process made is not made again until a start fails. Lost on a crash: nothing.
 */
import type { Container, Pod } from "@holdfast/core/pod-types";
import type { PodFiles } from "../ports.ts";
import { terminationMessagePath } from "./container-labels.ts";
import { mountsEtcHosts } from "./container-mounts.ts";
import type { ManagedFiles } from "./container-mounts.ts";
import { managedHostsContent, nodeHostsContent } from "./etc-hosts.ts";
import { podHostname } from "./hostname.ts";
import {
  containerLogPath,
  isLogOfRestart,
  legacyLogLink,
  legacyLogPrefix,
  podLogDirectory,
} from "./log-paths.ts";
import type { PodName } from "./log-paths.ts";
import { restartCountFromLogNames } from "./restart-count.ts";
import { terminationLogFile } from "./termination-message.ts";

const MAX_KNOWN_FOLDERS = 4096;
/** The kubelet's modes. */
const FOLDER_MODE = 0o755;
const HOSTS_MODE = 0o644;
const TERMINATION_MODE = 0o666;

/** How {@link ContainerFiles} is made. */
export interface ContainerFilesOptions {
  readonly files: PodFiles;
  readonly podLogsDir: string;
  /** "" makes no links. */
  readonly containerLogsDir: string;
  readonly podsDir: string;
  readonly clusterDomain: string;
  readonly hostsFile: () => Promise<string>;
}

/** See the top of the file. */
export class ContainerFiles {
  readonly #options: ContainerFilesOptions;
  readonly #folders = new Set<string>();

  constructor(options: ContainerFilesOptions) {
    this.#options = options;
  }

  podLogDirectory(pod: PodName): string {
    return podLogDirectory(this.#options.podLogsDir, pod);
  }

  /** Before a sandbox: the runtime expects the folder. */
  async makePodLogDirectory(pod: Pod): Promise<void> {
    await this.#options.files.mkdir(this.podLogDirectory(pod.metadata), FOLDER_MODE);
  }

  /** Of a container whose records are gone. */
  async restartCount(pod: Pod, container: Container): Promise<number> {
    const names = await this.#options.files.list(`${this.podLogDirectory(pod.metadata)}/${container.name}`);
    return restartCountFromLogNames(names);
  }

  /** Makes what the container's create refers to. */
  async prepare(
    pod: Pod,
    container: Container,
    restartCount: number,
    ips: readonly string[],
  ): Promise<ManagedFiles> {
    const { files, podsDir } = this.#options;
    const podDir = `${podsDir}/${pod.metadata.uid}`;
    const managesHosts = (ips.length > 0 || pod.spec.hostNetwork === true) && !mountsEtcHosts(container);
    const etcHosts = managesHosts ? `${podDir}/etc-hosts` : undefined;
    const terminationLog =
      terminationMessagePath(container) === ""
        ? undefined
        : terminationLogFile(podDir, container.name, restartCount);
    await Promise.all([
      this.#makeLogFolder(`${this.podLogDirectory(pod.metadata)}/${container.name}`),
      etcHosts === undefined
        ? undefined
        : this.#hostsContent(pod, ips).then((text) =>
            files.writeFile(etcHosts, text, HOSTS_MODE, { inPlace: true }),
          ),
      terminationLog === undefined
        ? undefined
        : files.writeFile(terminationLog, "", TERMINATION_MODE, { inPlace: true }),
    ]);
    return { etcHosts, terminationLog };
  }

  /** The link that log collectors follow. Its failure harms nobody else. kubelet: legacyLogSymlink. */
  async link(pod: PodName, container: string, restartCount: number, containerId: string): Promise<void> {
    const { files, containerLogsDir } = this.#options;
    if (containerLogsDir === "") return;
    const target = `${this.podLogDirectory(pod)}/${containerLogPath(container, restartCount)}`;
    await files.symlink(target, legacyLogLink(containerLogsDir, pod, container, containerId));
  }

  /** Something failed: folders may be missing after all. */
  distrust(pod: PodName): void {
    const prefix = `${this.podLogDirectory(pod)}/`;
    for (const folder of this.#folders) if (folder.startsWith(prefix)) this.#folders.delete(folder);
  }

  /** Removes one restart's logs, link and last words. Missing is fine. kubelet: removeContainerLog. */
  async removeContainerFiles(
    pod: PodName,
    container: { readonly name: string; readonly id: string; readonly restartCount: number },
  ): Promise<void> {
    const { files, podsDir } = this.#options;
    const folder = `${this.podLogDirectory(pod)}/${container.name}`;
    for (const name of await files.list(folder))
      if (isLogOfRestart(name, container.restartCount)) await files.removeFile(`${folder}/${name}`);
    await this.removeLink(pod, container);
    await files.removeFile(
      terminationLogFile(`${podsDir}/${pod.uid}`, container.name, container.restartCount),
    );
  }

  /** Missing is fine. */
  async removeLink(pod: PodName, container: { readonly name: string; readonly id: string }): Promise<void> {
    const { files, containerLogsDir } = this.#options;
    if (containerLogsDir === "") return;
    await files.removeFile(legacyLogLink(containerLogsDir, pod, container.name, container.id));
  }

  /** The pod is gone. Links may be left of containers that no list has ever shown. kubelet: evictPodLogsDirectories. */
  async removePodLogs(pod: PodName): Promise<void> {
    const { files, containerLogsDir } = this.#options;
    this.distrust(pod);
    await files.removeTree(this.podLogDirectory(pod));
    if (containerLogsDir === "") return;
    const ours = `${this.podLogDirectory(pod)}/`;
    for (const name of await files.list(containerLogsDir)) {
      // Another pod may have the same name by now.
      if (!name.startsWith(legacyLogPrefix(pod))) continue;
      const link = `${containerLogsDir}/${name}`;
      if ((await files.readLink(link))?.startsWith(ours) === true) await files.removeFile(link);
    }
  }

  async #makeLogFolder(folder: string): Promise<void> {
    if (this.#folders.has(folder)) return;
    await this.#options.files.mkdir(folder, FOLDER_MODE);
    this.#folders.add(folder);
    const oldest = this.#folders.values().next().value;
    if (this.#folders.size > MAX_KNOWN_FOLDERS && oldest !== undefined) this.#folders.delete(oldest);
  }

  async #hostsContent(pod: Pod, ips: readonly string[]): Promise<string> {
    const { clusterDomain, hostsFile } = this.#options;
    if (pod.spec.hostNetwork === true) return nodeHostsContent(await hostsFile(), pod.spec.hostAliases);
    const { hostname, domain } = podHostname(pod, clusterDomain);
    return managedHostsContent(ips, hostname, domain, pod.spec.hostAliases);
  }
}
