// SPDX-License-Identifier: Apache-2.0

import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { findLayerSizes } from "../src/image/image-manifest.ts";
import { readContainerdBlob } from "../src/node/node-blobs.ts";

const IMAGE = { id: "sha256:config", repoDigests: ["docker.io/library/a@sha256:m"] };
const manifest = (config: string, ...sizes: unknown[]): string =>
  JSON.stringify({ config: { digest: config }, layers: sizes.map((size) => ({ size })) });

describe("sizes of an image's layers", () => {
  it.each([
    ["its manifest", { "sha256:m": manifest("sha256:config", 10, 20) }, [10, 20]],
    [
      "the manifest of its platform",
      {
        "sha256:m": JSON.stringify({
          manifests: [{ digest: "sha256:arm" }, null, { digest: "sha256:gone" }, { digest: "sha256:amd" }],
        }),
        "sha256:arm": manifest("sha256:other", 1),
        "sha256:amd": manifest("sha256:config", 30),
      },
      [30],
    ],
    ["another image's manifest", { "sha256:m": manifest("sha256:other", 1) }, undefined],
    ["no manifest", {}, undefined],
    ["no JSON", { "sha256:m": "{" }, undefined],
    ["JSON that is none", { "sha256:m": "null" }, undefined],
    ["sizes that are none", { "sha256:m": manifest("sha256:config", "10") }, undefined],
    ["negative sizes", { "sha256:m": manifest("sha256:config", -1) }, undefined],
    [
      "a manifest without layers",
      { "sha256:m": JSON.stringify({ config: { digest: "sha256:config" } }) },
      undefined,
    ],
    [
      "layers that are none",
      { "sha256:m": JSON.stringify({ config: { digest: "sha256:config" }, layers: [null] }) },
      undefined,
    ],
  ])("from %s", async (_what, blobs: Readonly<Record<string, string>>, sizes) => {
    expect(await findLayerSizes(IMAGE, async (digest) => blobs[digest])).toEqual(sizes);
  });

  it("an image that was imported without a digest has none", async () => {
    expect(await findLayerSizes({ id: "sha256:config", repoDigests: [] }, async () => "{}")).toBeUndefined();
  });
});

describe("containerd's content store", () => {
  it("lies beside the image file system; what is elsewhere, too large or no digest is not read", async () => {
    const root = mkdtempSync(join(tmpdir(), "holdfast-blobs-"));
    const store = join(root, "io.containerd.content.v1.content/blobs/sha256");
    const mountpoint = join(root, "io.containerd.snapshotter.v1.overlayfs");
    const hex = (digit: string): string => digit.repeat(64);
    try {
      mkdirSync(store, { recursive: true });
      writeFileSync(join(store, hex("a")), "manifest");
      writeFileSync(join(store, hex("b")), Buffer.alloc(4 * 1024 * 1024 + 1));
      symlinkSync(join(store, hex("a")), join(store, hex("c")));
      mkdirSync(join(store, hex("d")));
      const read = (digest: string): Promise<string | undefined> => readContainerdBlob(mountpoint, digest);
      expect(await read(`sha256:${hex("a")}`)).toBe("manifest");
      for (const digest of [
        `sha256:${hex("b")}`,
        `sha256:${hex("c")}`,
        `sha256:${hex("d")}`,
        `sha256:${hex("e")}`,
        "sha256:../../x",
        `md5:${hex("a")}`,
        "",
      ])
        expect(await read(digest), digest).toBeUndefined();
    } finally {
      rmSync(root, { recursive: true });
    }
  });
});
