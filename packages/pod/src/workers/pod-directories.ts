// SPDX-License-Identifier: Apache-2.0

/**
 * A pod's folder: made before anything else of the pod and removed after everything else, so that it proves that what bears the pod's UID is ours.
 * Holds `manifest.json`, the last good manifest. kubelet: getPodDir and its siblings.
 */
import { CONFIG_SEEN_ANNOTATION } from "@holdfast/core/names";
import type { Pod } from "@holdfast/core/pod-types";
import { podLogDirectory, podUidOfLogDirectory } from "../kuberuntime/log-paths.ts";
import type { PodFiles } from "../ports.ts";

/** A UID becomes a folder's name: nothing else may. */
const SAFE_UID = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/;
const MANIFEST = "manifest.json";
const MAX_MANIFEST_BYTES = 4 * 1024 * 1024;
/** The kubelet's mode of pod folders. */
const FOLDER_MODE = 0o750;
const MANIFEST_MODE = 0o600;

/** Folders of all pods. */
export class PodDirectories {
  readonly #files: PodFiles;
  readonly #podsDir: string;
  readonly #podLogsDir: string;

  constructor(files: PodFiles, podsDir: string, podLogsDir: string) {
    this.#files = files;
    this.#podsDir = podsDir;
    this.#podLogsDir = podLogsDir;
  }

  /** Throws a `TypeError` on a UID that cannot name a folder; manifests with such a UID are refused long before. */
  podDir(uid: string): string {
    if (!SAFE_UID.test(uid))
      throw new TypeError(`pod UID ${JSON.stringify(uid.slice(0, 60))} cannot name a folder`);
    return `${this.#podsDir}/${uid}`;
  }

  /** Makes the folder and keeps the manifest; what is there already is not written again. */
  async create(pod: Pod): Promise<void> {
    const dir = this.podDir(pod.metadata.uid);
    const text = manifestText(pod);
    const known = await this.#files.readFile(`${dir}/${MANIFEST}`, MAX_MANIFEST_BYTES);
    if (known === text) return;
    await this.#files.mkdir(dir, FOLDER_MODE);
    await this.#files.writeFile(`${dir}/${MANIFEST}`, text, MANIFEST_MODE);
  }

  /** UIDs of all pods that have a folder. */
  async uids(): Promise<readonly string[]> {
    return (await this.#files.list(this.#podsDir)).filter((name) => SAFE_UID.test(name));
  }

  /** The manifest that was kept; undefined when it is missing or damaged. */
  async manifest(uid: string): Promise<Pod | undefined> {
    const text = await this.#files.readFile(`${this.podDir(uid)}/${MANIFEST}`, MAX_MANIFEST_BYTES);
    return text === undefined ? undefined : readStoredManifest(text, uid);
  }

  /** Logs first, the folder last: while it is there the rest is known to be ours. */
  async remove(metadata: Pod["metadata"]): Promise<void> {
    await this.removeLogs(metadata);
    await this.#files.removeTree(this.podDir(metadata.uid));
  }

  /** The pod stays. */
  async removeLogs({ uid, name, namespace }: Pod["metadata"]): Promise<void> {
    for (const logs of await this.#logFolders(uid, name, namespace)) await this.#files.removeTree(logs);
  }

  /** Of a pod without a name, whatever bears its UID. */
  async #logFolders(uid: string, name: string, namespace: string): Promise<readonly string[]> {
    if (name !== "" && namespace !== "") return [podLogDirectory(this.#podLogsDir, { uid, name, namespace })];
    const all = await this.#files.list(this.#podLogsDir);
    return all
      .filter((folder) => folder.includes("_") && podUidOfLogDirectory(folder) === uid)
      .map((folder) => `${this.#podLogsDir}/${folder}`);
  }
}

/** When a pod was first seen changes with each start of the agent and is no part of what it is. */
function manifestText(pod: Pod): string {
  const { [CONFIG_SEEN_ANNOTATION]: _seen, ...annotations } = pod.metadata.annotations ?? {};
  return JSON.stringify({ ...pod, metadata: { ...pod.metadata, annotations } });
}

/** It was written by us and may have been cut off since: only what later code relies on is checked. */
function readStoredManifest(text: string, uid: string): Pod | undefined {
  try {
    const pod = JSON.parse(text) as Partial<Pod> | null;
    const usable =
      pod?.metadata?.uid === uid &&
      typeof pod.metadata.name === "string" &&
      typeof pod.metadata.namespace === "string" &&
      Array.isArray(pod.spec?.containers);
    return usable ? (pod as Pod) : undefined;
  } catch {
    return undefined; // cut off by a power failure; the runtime's annotations must do
  }
}

/** Stands for a pod of which only names are known. */
export function namelessSpecPod(known: {
  readonly uid: string;
  readonly name: string;
  readonly namespace: string;
}): Pod {
  const { uid, name, namespace } = known;
  return { apiVersion: "v1", kind: "Pod", metadata: { uid, name, namespace }, spec: { containers: [] } };
}
