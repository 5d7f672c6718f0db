// SPDX-License-Identifier: Apache-2.0

/** What the disk ledger is computed from, and what it says. Bytes are allocated ones, as `du` counts. */

/** Who may hold space. */
export type DiskHolderKind =
  | "images-in-use"
  | "images-unused"
  | "writable-layers"
  | "dead-containers"
  | "logs"
  | "emptydirs"
  | "agent"
  | "others"
  | "reserved";

/** One thing and what it takes. */
export interface DiskItem {
  readonly name: string;
  readonly bytes: number;
  /** Not all of it could be looked at in time: it takes at least so much. Default false. */
  readonly atLeast?: boolean;
}

/** A file system of interest. */
export interface DiskFilesystem {
  /** Two paths with the same number lie on the same one. */
  readonly device: number;
  /** What lies on it: `node`, `images`, `writable layers`, `logs`. */
  readonly roles: readonly string[];
  readonly capacityBytes: number;
  /** Free for others than root. */
  readonly availableBytes: number;
  readonly usedBytes: number;
}

/** An image as it counts here. */
export interface DiskImage extends DiskItem {
  readonly inUse: boolean;
}

/** A container as it counts here. */
export interface DiskContainer extends DiskItem {
  readonly running: boolean;
}

/** Everything that was looked at. What could not be had is undefined; the ledger then leaves it among the others. */
export interface DiskFacts {
  readonly filesystems: readonly DiskFilesystem[];
  readonly images:
    | {
        readonly device: number;
        /** What layers and downloaded blobs of all images together take; undefined when the runtime does not say. */
        readonly onDiskBytes: number | undefined;
        /** Sizes are the runtime's own: of one image, its shared layers included. */
        readonly list: readonly DiskImage[];
      }
    | undefined;
  readonly layers: { readonly device: number; readonly list: readonly DiskContainer[] } | undefined;
  /** Folders by kind: log folders of pods, emptyDirs of pods, what the agent keeps for itself. */
  readonly folders: readonly {
    readonly kind: "logs" | "emptydirs" | "agent";
    readonly device: number;
    readonly list: readonly DiskItem[];
  }[];
}

/** Everything of one kind on one file system. */
export interface DiskHolder {
  readonly kind: DiskHolderKind;
  readonly bytes: number;
  /** How many images, containers, pods; 0 where nothing is counted. */
  readonly count: number;
  /** Apportioned, not measured: images share layers. */
  readonly estimated: boolean;
  /** The true figure is larger: something was not looked at in time. */
  readonly atLeast: boolean;
  /** The largest first; at most five. */
  readonly largest: readonly DiskItem[];
}

/** One file system and who holds it. */
export interface DiskLedgerEntry extends DiskFilesystem {
  /** The largest first; the others and what is reserved come last. Their sum is the capacity less what is available, unless parts grew meanwhile. */
  readonly holders: readonly DiskHolder[];
}

/** The ledger. */
export interface DiskLedgerView {
  readonly filesystems: readonly DiskLedgerEntry[];
  /** What could not be looked at, and why: its space is among the others'. */
  readonly problems: readonly string[];
}
