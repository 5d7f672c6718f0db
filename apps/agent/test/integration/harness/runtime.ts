// SPDX-License-Identifier: Apache-2.0

/** The containerd that the tests are given, and what can be seen of it from outside. */
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { createCriClient } from "@holdfast/cri";
import type { CriClient } from "@holdfast/cri";
import { namesIn } from "./mounts.ts";

/** `unix:///…/containerd.sock`. Throws when the tests were started without one. */
export function testEndpoint(): string {
  const endpoint = process.env["HOLDFAST_TEST_CONTAINERD"];
  if (endpoint === undefined || endpoint === "")
    throw new Error(
      'HOLDFAST_TEST_CONTAINERD is not set. Run `npm test`, or: node scripts/containerd.mjs up && eval "$(node scripts/containerd.mjs env)"',
    );
  return endpoint;
}

/** A private instance's folders, known from where its socket is: see scripts/lib/paths.mjs. */
export class RuntimePlaces {
  readonly endpoint: string;
  readonly #run: string;

  constructor(endpoint: string) {
    this.endpoint = endpoint;
    this.#run = dirname(endpoint.replace("unix://", ""));
  }

  /** Sandbox ids that hold an address, with the address. */
  leases(): Map<string, string> {
    const found = new Map<string, string>();
    const ipam = join(this.#run, "ipam");
    for (const network of namesIn(ipam)) {
      for (const name of namesIn(join(ipam, network))) {
        if (!/^[0-9a-f.:]+$/.test(name)) continue;
        try {
          const owner = readFileSync(join(ipam, network, name), "utf8").split(/\s/)[0] ?? "";
          found.set(owner, name);
        } catch {
          // Given back meanwhile.
        }
      }
    }
    return found;
  }

  /** Network namespaces that containerd keeps mounted. */
  networkNamespaces(): string[] {
    return namesIn(join(this.#run, "state", "io.containerd.grpc.v1.cri", "netns"));
  }

  /** The daemon's process. */
  pid(): number {
    return Number(readFileSync(join(this.#run, "containerd.pid"), "utf8").trim().split(" ")[0]);
  }

  client(): CriClient {
    return createCriClient({ endpoint: this.endpoint });
  }
}
