// SPDX-License-Identifier: Apache-2.0

/**
 * The disk ledger: who holds the space.
 *
 * Owns: the last ledger. Reads: the runtime's lists, file systems, folders, through ports that bound each of them. Invariants: nothing is looked at unless somebody
 * asks; who asks again within 30 s, or while it is being computed, gets the same; what fails is named, and its space is among the others'; folders are walked for
 * 5 s at most. Lost on a crash: nothing.
 */
import type { Clock } from "@holdfast/core/clock";
import { errorText } from "@holdfast/core/errors";
import { withDeadline } from "@holdfast/core/lifecycle";
import { CONTAINER_NAME_LABEL, POD_NAME_LABEL, POD_NAMESPACE_LABEL } from "@holdfast/core/names";
import { ContainerState } from "@holdfast/cri";
import type { Container, CriClient } from "@holdfast/cri";
import { computeImageUsers, ImageIndex } from "../image/image-users.ts";
import { sandboxImagesIn } from "../image/verbose-info.ts";
import { computeDiskLedger } from "./compute-disk-ledger.ts";
import { diskHeldBy } from "./disk-ledger-text.ts";
import type { DiskFacts, DiskFilesystem, DiskItem, DiskLedgerView } from "./disk-facts.ts";

/** The runtime calls of the ledger. */
export type DiskLedgerRuntime = Pick<
  CriClient,
  "listImages" | "listContainers" | "listContainerStats" | "imageFsInfo" | "status"
>;

/** The machine as the ledger needs it. Each call must end by itself, also on a dead mount: `@holdfast/stats` has readers that do. */
export interface DiskLedgerHost {
  /** The file system that a path lies on. */
  filesystem(path: string): Promise<Omit<DiskFilesystem, "roles">>;
  /** What a folder takes without what is mounted in it; undefined when it is not there. `flat`: only the files directly in it. */
  tree(
    path: string,
    options: { readonly maxAgeMs: number; readonly flat?: boolean; readonly signal: AbortSignal },
  ): Promise<{ readonly usedBytes: number; readonly complete: boolean } | undefined>;
  /** Names of the folders in a folder; empty when it does not exist. */
  folders(path: string, signal: AbortSignal): Promise<readonly string[]>;
}

/** How {@link DiskLedger} is made. */
export interface DiskLedgerOptions {
  readonly runtime: DiskLedgerRuntime;
  readonly host: DiskLedgerHost;
  readonly clock: Clock;
  /** The agent's own folder. kubelet: the root directory. */
  readonly stateDir: string;
  /** Folders of pods, one for each UID. */
  readonly podsDir: string;
  /** Default /var/log/pods. */
  readonly podLogsDir?: string;
  /** `NAMESPACE/NAME` by UID; default: the UID. */
  readonly podName?: (uid: string) => string | undefined;
  /** How old a ledger may be. Default 30 s. */
  readonly maxAgeMs?: number;
}

const DEFAULT_MAX_AGE_MS = 30_000;
const DEFAULT_POD_LOGS_DIR = "/var/log/pods";
/** Folders keep their figures for as long as statistics do. */
const FOLDER_AGE_MS = 60_000;
const WALKS_MS = 5000;
const CALL_MS = 5000;
const ALL_MS = 30_000;
const HELD_BY_MS = 10_000;
/** Folders of pods that are looked at; more than these no node has. */
const MAX_FOLDERS = 4096;
/** Beside a snapshotter, in containerd's root: what was downloaded. */
const CONTENT_STORE = "io.containerd.content.v1.content";
const EMPTY_DIRS = "volumes/kubernetes.io~empty-dir";

/** See the top of the file. */
export class DiskLedger {
  readonly #options: DiskLedgerOptions;
  #newest: { readonly at: number; readonly view: Promise<DiskLedgerView> } | undefined;

  constructor(options: DiskLedgerOptions) {
    this.#options = options;
  }

  /** The ledger, at most `maxAgeMs` old. Does not reject unless all of it takes longer than 30 s: what failed is in `problems`. */
  read({ maxAgeMs }: { readonly maxAgeMs?: number } = {}): Promise<DiskLedgerView> {
    const { clock } = this.#options;
    const age = maxAgeMs ?? this.#options.maxAgeMs ?? DEFAULT_MAX_AGE_MS;
    const now = clock.monotonic();
    if (this.#newest !== undefined && now - this.#newest.at <= age) return this.#newest.view;
    const controller = new AbortController();
    const reading = readFacts(this.#options, Math.min(age, FOLDER_AGE_MS), controller.signal);
    const view = withDeadline(clock, ALL_MS, "the disk ledger", reading).finally(() => controller.abort());
    const newest = { at: now, view };
    this.#newest = newest;
    view.catch(() => {
      if (this.#newest === newest) this.#newest = undefined;
    });
    return view;
  }

  /**
   * Who holds the file system of `role`, in one line for a message: what image GC adds when it cannot free what it wants. Never rejects; undefined when nothing is
   * known within 10 s.
   */
  async heldBy(role: "images" | "node" | "writable layers" | "logs" = "images"): Promise<string | undefined> {
    try {
      const view = await withDeadline(this.#options.clock, HELD_BY_MS, "the disk ledger", this.read());
      const entry = view.filesystems.find(({ roles }) => roles.includes(role));
      return entry === undefined ? undefined : diskHeldBy(entry);
    } catch {
      return undefined; // the message goes without it
    }
  }
}

/** Asks for a part; what fails is told and undefined. */
type Part = <T>(what: string, work: () => Promise<T>) => Promise<T | undefined>;

async function readFacts(
  options: DiskLedgerOptions,
  folderAgeMs: number,
  signal: AbortSignal,
): Promise<DiskLedgerView> {
  const { runtime, host, stateDir, podLogsDir = DEFAULT_POD_LOGS_DIR } = options;
  const problems: string[] = [];
  const part: Part = async (what, work) => {
    try {
      return await work();
    } catch (error) {
      problems.push(`${what}: ${errorText(error)}`);
      return undefined;
    }
  };
  const call = { signal, deadlineMs: CALL_MS };
  const [images, containers, stats, info, status] = await Promise.all([
    part("images", () => runtime.listImages({}, call)),
    part("containers", () => runtime.listContainers({}, call)),
    part("writable layers", () => runtime.listContainerStats({}, call)),
    part("the runtime's file systems", () => runtime.imageFsInfo({}, call)),
    part("the sandbox image", () => runtime.status({ verbose: true }, call)),
  ]);
  const imageFs = info?.imageFilesystems[0];
  const containerFs = info?.containerFilesystems[0] ?? imageFs;
  const found = await Promise.all(
    [
      ["node", stateDir],
      ["images", imageFs?.fsId?.mountpoint],
      ["writable layers", containerFs?.fsId?.mountpoint],
      ["logs", podLogsDir],
    ].map(([role = "", path]) =>
      path === undefined
        ? undefined
        : part(`the file system of ${role}`, async () => ({ role, ...(await host.filesystem(path)) })),
    ),
  );
  const [node, image, layer, log] = found;
  const walk = new FolderWalk(options, folderAgeMs, signal, part);
  const content =
    imageFs?.fsId === undefined ? undefined : await walk.measure(contentStore(imageFs.fsId.mountpoint));
  const snapshots = imageFs?.usedBytes === undefined ? undefined : Number(imageFs.usedBytes.value);
  const facts: DiskFacts = {
    filesystems: mergeFilesystems(found.filter((one) => one !== undefined)),
    images:
      image === undefined || images === undefined
        ? undefined
        : {
            device: image.device,
            onDiskBytes: snapshots === undefined ? undefined : snapshots + (content?.bytes ?? 0),
            list: diskImages(images.images, containers?.containers, sandboxImagesIn(status?.info ?? {})),
          },
    layers:
      layer === undefined || stats === undefined
        ? undefined
        : { device: layer.device, list: diskContainers(stats.stats, containers?.containers ?? []) },
    folders: [
      ...(log === undefined ? [] : [{ kind: "logs" as const, device: log.device, list: await walk.logs() }]),
      ...(node === undefined
        ? []
        : [
            { kind: "emptydirs" as const, device: node.device, list: await walk.emptyDirs() },
            { kind: "agent" as const, device: node.device, list: await walk.agent() },
          ]),
    ],
  };
  walk.tellLate(problems);
  return { filesystems: computeDiskLedger(facts), problems };
}

/** One entry for each device, with all that lies on it. */
function mergeFilesystems(
  found: readonly (Omit<DiskFilesystem, "roles"> & { readonly role: string })[],
): readonly DiskFilesystem[] {
  return [...Map.groupBy(found, ({ device }) => device).values()].flatMap((same) => {
    const [first] = same;
    if (first === undefined) return [];
    const { role: _role, ...figures } = first;
    return [{ ...figures, roles: same.map(({ role }) => role) }];
  });
}

type ListedImages = Awaited<ReturnType<DiskLedgerRuntime["listImages"]>>["images"];
type ListedStats = Awaited<ReturnType<DiskLedgerRuntime["listContainerStats"]>>["stats"];

/** An image is in use when a container of anybody's, dead ones too, was made from it, when sandboxes are, or when the runtime pins it. Unknown users: all are. */
function diskImages(
  images: ListedImages,
  containers: readonly Container[] | undefined,
  sandboxImages: readonly string[],
): NonNullable<DiskFacts["images"]>["list"] {
  const sandboxImage = new ImageIndex(images).find(sandboxImages);
  const users = containers === undefined ? undefined : computeImageUsers(images, containers, () => []);
  return images.map(({ id, repoTags, repoDigests, size, pinned }) => ({
    name: repoTags[0] ?? repoDigests[0] ?? id,
    bytes: Number(size),
    inUse: pinned || id === sandboxImage || users === undefined || (users.get(id)?.length ?? 0) > 0,
  }));
}

function diskContainers(
  stats: ListedStats,
  containers: readonly Container[],
): NonNullable<DiskFacts["layers"]>["list"] {
  const byId = new Map(containers.map((container) => [container.id, container]));
  return stats.flatMap(({ attributes, writableLayer }) => {
    const bytes = writableLayer?.usedBytes?.value;
    if (attributes === undefined || bytes === undefined) return [];
    const listed = byId.get(attributes.id);
    return [
      {
        name: shownContainer(attributes.labels, attributes.metadata?.name ?? attributes.id),
        bytes: Number(bytes),
        // One that nobody listed was made or removed a moment ago.
        running: listed === undefined || listed.state === ContainerState.CONTAINER_RUNNING,
      },
    ];
  });
}

function shownContainer(labels: Readonly<Record<string, string>>, name: string): string {
  const pod = labels[POD_NAME_LABEL];
  const container = labels[CONTAINER_NAME_LABEL] ?? name;
  return pod === undefined ? container : `${labels[POD_NAMESPACE_LABEL] ?? ""}/${pod}/${container}`;
}

function contentStore(snapshotter: string): string {
  return `${snapshotter.slice(0, snapshotter.lastIndexOf("/"))}/${CONTENT_STORE}`;
}

/** Folders one after the other, within one bound of time. */
class FolderWalk {
  readonly #options: DiskLedgerOptions;
  readonly #maxAgeMs: number;
  readonly #signal: AbortSignal;
  readonly #part: Part;
  readonly #endsAt: number;
  #late = 0;

  constructor(options: DiskLedgerOptions, maxAgeMs: number, signal: AbortSignal, part: Part) {
    this.#options = options;
    this.#maxAgeMs = maxAgeMs;
    this.#signal = signal;
    this.#part = part;
    this.#endsAt = options.clock.monotonic() + WALKS_MS;
  }

  tellLate(problems: string[]): void {
    if (this.#late > 0) problems.push(`${this.#late} folders were not looked at within ${WALKS_MS} ms`);
  }

  async measure(path: string, name: string = path, flat = false): Promise<DiskItem | undefined> {
    if (this.#options.clock.monotonic() >= this.#endsAt) {
      this.#late += 1;
      return undefined;
    }
    const options = { maxAgeMs: this.#maxAgeMs, flat, signal: this.#signal };
    const usage = await this.#part(path, () => this.#options.host.tree(path, options));
    return usage === undefined ? undefined : { name, bytes: usage.usedBytes, atLeast: !usage.complete };
  }

  /** Each pod's folder, those of pods that are gone too. kubelet: `NAMESPACE_NAME_UID`. */
  async logs(): Promise<readonly DiskItem[]> {
    const root = this.#options.podLogsDir ?? DEFAULT_POD_LOGS_DIR;
    return await this.#each(root, (folder) => {
      const [namespace = "", name] = folder.split("_");
      return { path: `${root}/${folder}`, name: name === undefined ? folder : `${namespace}/${name}` };
    });
  }

  async emptyDirs(): Promise<readonly DiskItem[]> {
    const { podsDir, podName = (uid) => uid } = this.#options;
    return await this.#each(podsDir, (uid) => ({
      path: `${podsDir}/${uid}/${EMPTY_DIRS}`,
      name: podName(uid) ?? uid,
    }));
  }

  /** What lies in the state folder itself, and in its folders but the pods'. */
  async agent(): Promise<readonly DiskItem[]> {
    const { stateDir, podsDir } = this.#options;
    const files = await this.measure(stateDir, "state", true);
    const folders = await this.#each(stateDir, (folder) => {
      const path = `${stateDir}/${folder}`;
      return path === podsDir ? undefined : { path, name: folder };
    });
    return files === undefined ? folders : [files, ...folders];
  }

  async #each(
    root: string,
    of: (folder: string) => { readonly path: string; readonly name: string } | undefined,
  ): Promise<readonly DiskItem[]> {
    const folders = (await this.#part(root, () => this.#options.host.folders(root, this.#signal))) ?? [];
    const items: DiskItem[] = [];
    for (const folder of folders.slice(0, MAX_FOLDERS)) {
      const chosen = of(folder);
      const item = chosen === undefined ? undefined : await this.measure(chosen.path, chosen.name);
      if (item !== undefined) items.push(item);
    }
    return items;
  }
}
