// SPDX-License-Identifier: Apache-2.0
/* An agent in the machine of scripts/dev/vm.sh, for the check scripts: its folders, manifests and configuration, what `holdfast` says of it, and a list of what was seen. */
import { execFileSync, spawn } from "node:child_process";
import { mkdirSync, openSync, rmSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

/** Runs for ever, and ends when it is told to. */
export const LASTING = "trap 'exit 0' TERM; sleep 1000000 & wait";

let failed = false;

export function check(what, good, detail = "") {
  console.log(`${good ? "ok  " : "BAD "} ${what}${detail === "" ? "" : `: ${detail}`}`);
  failed ||= !good;
}

/** The last line, and the exit status: 1 when something was wrong. */
export function finish() {
  console.log(`\n${failed ? "FAILED" : "all as it should be"}`);
  process.exitCode = failed ? 1 : 0;
}

/** What a command prints, also when it fails. */
export function sh(command) {
  try {
    const options = { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"], timeout: 60_000 };
    return execFileSync("sh", ["-c", command], options);
  } catch (error) {
    return String(error.stdout ?? "");
  }
}

/** The first answer that is something; undefined, and a failed check, when there is none in time. */
export async function until(what, ask, limitMs = 900_000) {
  const end = Date.now() + limitMs;
  for (;;) {
    const answer = ask();
    if (answer) return answer;
    if (Date.now() > end) {
      check(what, false, "not within the time");
      return undefined;
    }
    await sleep(500);
  }
}

export class NodeUnderCheck {
  /** What it was last started with. */
  started = [];
  #folder;
  #agent;

  /** Makes the folder anew. */
  constructor(folder) {
    this.#folder = folder;
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(`${folder}/manifests`, { recursive: true });
  }

  /** A pod of one container in the host's network. `spec` and `container` add to it. */
  write(name, { command = LASTING, annotations = {}, container = {}, spec = {} } = {}) {
    const pod = {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name, annotations },
      spec: {
        hostNetwork: true,
        terminationGracePeriodSeconds: 1,
        containers: [
          {
            name: "main",
            image: "holdfast.local/busybox:1",
            command: ["sh", "-c", command],
            ...container,
          },
        ],
        ...spec,
      },
    };
    writeFileSync(this.#manifest(name), JSON.stringify(pod));
  }

  remove(name) {
    rmSync(this.#manifest(name), { force: true });
  }

  /** Settings of KubeletConfiguration, and of Holdfast's own document. */
  async start(kubelet = {}, own = {}) {
    this.started = [kubelet, own];
    const folder = this.#folder;
    const documents = [
      {
        apiVersion: "kubelet.config.k8s.io/v1beta1",
        kind: "KubeletConfiguration",
        staticPodPath: `${folder}/manifests`,
        ...kubelet,
      },
      {
        apiVersion: "holdfast.agent/v1alpha1",
        kind: "AgentConfiguration",
        stateDir: `${folder}/state`,
        runDir: folder,
        ...own,
      },
    ];
    const config = `${folder}/config.yaml`;
    writeFileSync(config, documents.map((one) => JSON.stringify(one)).join("\n---\n"));
    const log = openSync(`${folder}/agent.log`, "a");
    this.#agent = spawn("holdfast", ["run", "--config", config], { stdio: ["ignore", log, log] });
    await until("the agent answers", () => this.holdfast("get pods -o json") !== "");
  }

  /** As a crash would. */
  async kill() {
    const agent = this.#agent;
    const ended = new Promise((resolve) => agent.once("exit", resolve));
    agent.kill("SIGKILL");
    await ended;
  }

  async stop() {
    const agent = this.#agent;
    const ended = new Promise((resolve) => agent.once("exit", resolve));
    agent.kill("SIGTERM");
    await ended;
  }

  isUp() {
    return this.#agent.exitCode === null;
  }

  /** All pods, then the agent. */
  async end(names) {
    for (const name of names) this.remove(name);
    await until("the pods are gone", () => !this.holdfast("get pods -o name").includes("pod/"));
    await this.stop();
  }

  holdfast(args) {
    return sh(`holdfast ${args} --socket ${this.#folder}/holdfast.sock`);
  }

  pod(name) {
    const list = JSON.parse(this.holdfast("get pods -o json") || '{"items":[]}');
    return list.items.find(({ metadata }) => metadata.name.startsWith(`${name}-`));
  }

  /** Status of the pod's container. */
  container(name) {
    return this.pod(name)?.status?.containerStatuses?.[0];
  }

  running(name) {
    return until(`${name} runs`, () => {
      const status = this.container(name);
      return status?.state.running === undefined ? undefined : status;
    });
  }

  /** In the order of their numbers. */
  events(type) {
    return this.holdfast(`events --type '${type}' -o json --limit 1000`)
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line))
      .sort((a, b) => a.seq - b.seq);
  }

  /** How the containers of a pod ended, the newest first. */
  ends(name) {
    const text = this.holdfast(`why ${name} -o json`);
    if (text === "") return [];
    return JSON.parse(text).story.chapters.flatMap(({ termination }) => termination ?? []);
  }

  #manifest(name) {
    return `${this.#folder}/manifests/${name}.json`;
  }
}
