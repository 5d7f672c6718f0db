// SPDX-License-Identifier: Apache-2.0

/** An image registry of a few lines on the loopback, to which containerd talks plain HTTP. Its images are files of random bytes: they do not shrink. */
import { createHash, randomBytes } from "node:crypto";
import { createServer } from "node:http";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";

const BLOCK = 512;
const MANIFEST = "application/vnd.oci.image.manifest.v1+json";

/** One layer of random bytes. */
export function randomLayer(bytes: number): Buffer {
  const header = Buffer.alloc(BLOCK);
  const octal = (value: number, at: number, length: number): number =>
    header.write(`${value.toString(8).padStart(length - 1, "0")}\0`, at);
  header.write(`data-${randomBytes(6).toString("hex")}`, 0);
  octal(0o644, 100, 8);
  octal(0, 108, 8);
  octal(0, 116, 8);
  octal(bytes, 124, 12);
  octal(0, 136, 12);
  header.write("        ", 148);
  header.write("0ustar\u000000", 156);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  const padding = Buffer.alloc((BLOCK - (bytes % BLOCK)) % BLOCK);
  return Buffer.concat([header, randomBytes(bytes), padding, Buffer.alloc(2 * BLOCK)]);
}

/** Serves images under `127.0.0.1:PORT/NAME:1`. */
export class ImageRegistry implements AsyncDisposable {
  readonly #server: Server;
  readonly #blobs = new Map<string, Buffer>();
  readonly #manifests = new Map<string, Buffer>();

  private constructor(server: Server) {
    this.#server = server;
    server.on("request", ({ url = "", method }, response) => {
      const [, name = "", kind = "", key = ""] =
        /^\/v2\/([^/]+)\/(manifests|blobs)\/([^/?]+)/.exec(url) ?? [];
      const manifest = this.#manifests.get(`${name}:${key}`) ?? this.#manifests.get(key);
      const found = kind === "manifests" ? manifest : this.#blobs.get(key);
      if (found === undefined && url !== "/v2/") {
        response.writeHead(404).end();
        return;
      }
      const body = found ?? Buffer.alloc(0);
      const type = kind === "manifests" ? MANIFEST : "application/octet-stream";
      const headers = { "content-type": type, "content-length": body.length };
      response.writeHead(200, { ...headers, "docker-content-digest": digestOf(body) });
      response.end(method === "HEAD" ? undefined : body);
    });
  }

  static async start(): Promise<ImageRegistry> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return new ImageRegistry(server);
  }

  /** Makes an image of these layers, and returns what to pull. */
  add(name: string, layers: readonly Buffer[], labels: Readonly<Record<string, string>> = {}): string {
    const config = Buffer.from(
      JSON.stringify({
        architecture: process.arch === "arm64" ? "arm64" : "amd64",
        os: "linux",
        config: { Cmd: ["/data"], Labels: { "test.holdfast/name": name, ...labels } },
        rootfs: { type: "layers", diff_ids: layers.map(digestOf) },
      }),
    );
    const manifest = Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: MANIFEST,
        config: this.#blob("application/vnd.oci.image.config.v1+json", config),
        layers: layers.map((layer) => this.#blob("application/vnd.oci.image.layer.v1.tar", layer)),
      }),
    );
    this.#manifests.set(`${name}:1`, manifest).set(digestOf(manifest), manifest);
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}/${name}:1`;
  }

  #blob(mediaType: string, data: Buffer): object {
    this.#blobs.set(digestOf(data), data);
    return { mediaType, digest: digestOf(data), size: data.length };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

function digestOf(data: Buffer): string {
  return `sha256:${createHash("sha256").update(data).digest("hex")}`;
}
