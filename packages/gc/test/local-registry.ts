// SPDX-License-Identifier: Apache-2.0

// An image registry of a few lines on the loopback, which containerd talks plain HTTP to. Each image is one layer with one file of random bytes.
import { createHash, randomBytes } from "node:crypto";
import { createServer } from "node:http";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";

const BLOCK = 512;
const MANIFEST = "application/vnd.oci.image.manifest.v1+json";

/** A tar with one file. */
function tarOf(name: string, data: Buffer): Buffer {
  const header = Buffer.alloc(BLOCK);
  const octal = (value: number, at: number, length: number): number =>
    header.write(`${value.toString(8).padStart(length - 1, "0")}\0`, at);
  header.write(name, 0);
  octal(0o644, 100, 8);
  octal(0, 108, 8);
  octal(0, 116, 8);
  octal(data.length, 124, 12);
  octal(0, 136, 12);
  header.write("        ", 148);
  header.write("0ustar\u000000", 156);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  const padding = Buffer.alloc((BLOCK - (data.length % BLOCK)) % BLOCK);
  return Buffer.concat([header, data, padding, Buffer.alloc(2 * BLOCK)]);
}

function digestOf(data: Buffer): string {
  return `sha256:${createHash("sha256").update(data).digest("hex")}`;
}

/** Serves images under `127.0.0.1:PORT/NAME:1`. */
export class LocalRegistry implements AsyncDisposable {
  readonly #server: Server;
  readonly #blobs = new Map<string, Buffer>();
  readonly #manifests = new Map<string, Buffer>();

  constructor(server: Server) {
    this.#server = server;
    server.on("request", ({ url = "", method }, response) => {
      const [, kind = "", key = ""] = /\/(manifests|blobs)\/([^/]+)$/.exec(url) ?? [];
      const name = /^\/v2\/([^/]+)\//.exec(url)?.[1] ?? "";
      const manifest = this.#manifests.get(`${name}:${key}`) ?? this.#manifests.get(key);
      const found = kind === "manifests" ? manifest : this.#blobs.get(key);
      if (url !== "/v2/" && found === undefined) response.writeHead(404).end();
      else {
        const body = found ?? Buffer.alloc(0);
        const type = kind === "manifests" ? MANIFEST : "application/octet-stream";
        const headers = { "content-type": type, "content-length": body.length };
        response.writeHead(200, { ...headers, "docker-content-digest": digestOf(body) });
        response.end(method === "HEAD" ? undefined : body);
      }
    });
  }

  static async start(): Promise<LocalRegistry> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return new LocalRegistry(server);
  }

  /** Makes an image, and returns what to pull. */
  add(name: string, bytes: number): string {
    const layer = tarOf("data", randomBytes(bytes));
    const config = Buffer.from(
      JSON.stringify({
        architecture: "amd64",
        os: "linux",
        config: { Cmd: ["/data"], Labels: { "test.holdfast/name": name } },
        rootfs: { type: "layers", diff_ids: [digestOf(layer)] },
      }),
    );
    const part = (mediaType: string, data: Buffer): object => {
      this.#blobs.set(digestOf(data), data);
      return { mediaType, digest: digestOf(data), size: data.length };
    };
    const manifest = Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: MANIFEST,
        config: part("application/vnd.oci.image.config.v1+json", config),
        layers: [part("application/vnd.oci.image.layer.v1.tar", layer)],
      }),
    );
    this.#manifests.set(`${name}:1`, manifest).set(digestOf(manifest), manifest);
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}/${name}:1`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
