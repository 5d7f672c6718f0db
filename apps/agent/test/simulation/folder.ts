// SPDX-License-Identifier: Apache-2.0

/** What the folder of manifests says, kept beside the folder itself: which pods must be there in the end, and how they must look. */
import { readManifest } from "@holdfast/pod";
import { container, manifest } from "./pods.ts";
import type { Fields } from "./pods.ts";
import { MANIFESTS, NODE_NAME } from "./simulated-node.ts";
import type { SimulatedNode } from "./simulated-node.ts";

/** How a kind of pod looks once nothing disturbs it. */
export type Ending = "runs" | "ends" | "crashes" | "waits";

/** A kind of pod. */
export interface PodKind {
  readonly ending: Ending;
  /** Names of containers that run for ever in a pod that runs. */
  readonly running: readonly string[];
  readonly spec: Fields;
  /** Name of a container that ends by itself, and is not run again then. */
  readonly onceOnly?: string;
}

/** What the registry has. */
export const PULLED = "registry.invalid/some:1";

const TMP = {
  volumes: [
    { name: "tmp", emptyDir: {} },
    { name: "ram", emptyDir: { medium: "Memory" } },
  ],
};
const MOUNTS = {
  volumeMounts: [
    { name: "tmp", mountPath: "/tmp" },
    { name: "ram", mountPath: "/ram" },
  ],
};

/** One of each sort that Holdfast treats differently. */
export const KINDS: Readonly<Record<string, PodKind>> = {
  web: { ending: "runs", running: ["main"], spec: {} },
  pair: {
    ending: "runs",
    running: ["one", "two"],
    spec: { containers: [container("one", {}, MOUNTS), container("two", {}, MOUNTS)], ...TMP },
  },
  stubborn: {
    ending: "runs",
    running: ["main"],
    spec: { containers: [container("main", { ignoreSigterm: true })] },
  },
  slow: {
    ending: "runs",
    running: ["main"],
    spec: { containers: [container("main", { exitOnSigtermAfterMs: 1500 })] },
  },
  init: {
    ending: "runs",
    running: ["main", "side"],
    spec: {
      initContainers: [
        container("first", { exitAfterMs: 300 }),
        container("side", {}, { restartPolicy: "Always" }),
        container("second", { exitAfterMs: 700 }),
      ],
    },
  },
  host: { ending: "runs", running: ["main"], spec: { hostNetwork: true } },
  port: {
    ending: "runs",
    running: ["main"],
    spec: { containers: [container("main", {}, { ports: [{ containerPort: 80, hostPort: 8080 }] })] },
  },
  job: {
    ending: "ends",
    running: [],
    spec: { restartPolicy: "OnFailure", containers: [container("main", { exitAfterMs: 4000 })] },
  },
  once: {
    ending: "ends",
    running: [],
    spec: { restartPolicy: "Never", containers: [container("main", { exitAfterMs: 2500, exitCode: 3 })] },
  },
  mixed: {
    ending: "runs",
    running: ["main"],
    spec: {
      restartPolicy: "OnFailure",
      containers: [container("main"), container("done", { exitAfterMs: 1500 })],
    },
    onceOnly: "done",
  },
  crash: {
    ending: "crashes",
    running: [],
    spec: { containers: [container("main", { exitAfterMs: 1200, exitCode: 1 })] },
  },
  hook: {
    ending: "runs",
    running: ["main"],
    spec: { containers: [container("main", {}, { lifecycle: { preStop: { exec: { command: ["bye"] } } } })] },
  },
  deadline: {
    ending: "ends",
    running: [],
    spec: { activeDeadlineSeconds: 20, containers: [container("main")] },
  },
  pulled: {
    ending: "runs",
    running: ["main"],
    spec: { containers: [container("main", {}, { image: PULLED, imagePullPolicy: "Always" })] },
  },
  missing: {
    ending: "waits",
    running: [],
    spec: { containers: [{ name: "main", image: "registry.invalid/none:1" }] },
  },
};

/** One pod that the folder asks for. */
export interface WantedPod {
  readonly uid: string;
  readonly file: string;
  readonly kind: PodKind;
  readonly kindName: string;
  readonly text: string;
}

/** Writes manifests and knows what they mean. */
export class Folder {
  readonly #node: SimulatedNode;
  readonly #wanted = new Map<string, WantedPod>();
  readonly #broken = new Set<string>();
  /** Every pod that was ever asked for, by UID. */
  readonly known = new Map<string, WantedPod>();

  constructor(node: SimulatedNode) {
    this.#node = node;
  }

  wanted(): readonly WantedPod[] {
    return [...this.#wanted.values()];
  }

  uids(): ReadonlySet<string> {
    return new Set(Array.from(this.#wanted.values(), ({ uid }) => uid));
  }

  /** The pod of the kind becomes this version. */
  write(kindName: string, version: number): WantedPod {
    const kind = KINDS[kindName];
    if (kind === undefined) throw new Error(`no kind ${kindName}`);
    const file = `${kindName}.json`;
    const text = manifest(kindName, kind.spec, version);
    const content = readManifest(new TextEncoder().encode(text), {
      path: `${MANIFESTS}/${file}`,
      nodeName: NODE_NAME,
    });
    const uid = content.pods[0]?.pod.metadata.uid;
    if (uid === undefined) throw new Error(`${kindName}: ${JSON.stringify(content.problems)}`);
    const pod = { uid, file, kind, kindName, text };
    this.#wanted.set(kindName, pod);
    this.#broken.delete(kindName);
    this.known.set(uid, pod);
    this.#node.manifests.write(file, text);
    return pod;
  }

  /** The file becomes something invalid: its last good version goes on. */
  spoil(kindName: string): void {
    const pod = this.#wanted.get(kindName);
    if (pod === undefined) return;
    this.#broken.add(kindName);
    this.#node.manifests.write(pod.file, pod.text.replace('"containers"', '"contaners"'));
  }

  remove(kindName: string): void {
    const pod = this.#wanted.get(kindName);
    if (pod === undefined) return;
    this.#wanted.delete(kindName);
    this.#broken.delete(kindName);
    this.#node.manifests.remove(pod.file);
  }
}
