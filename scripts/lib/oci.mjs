// SPDX-License-Identifier: Apache-2.0
/* Container images as OCI image-layout archives, written here: one uncompressed layer, and the same digest for the same content every time. */
import { createHash } from "node:crypto";
import { tar } from "./tar.mjs";

const digest = (data) => `sha256:${createHash("sha256").update(data).digest("hex")}`;
/** A fixed date, long ago: image GC by age must not depend on the day of the build. */
const CREATED = "2026-01-01T00:00:00Z";

/**
 * @param {{ name: string, arch: string, files: Parameters<typeof tar>[0], config: Record<string, unknown> }} image
 * @returns {{ archive: Buffer, digest: string }} the archive, and the digest of its manifest
 */
export function ociArchive({ name, arch, files, config }) {
  const layer = tar(files);
  const history = [{ created: CREATED, created_by: "holdfast scripts/lib/oci.mjs" }];
  const rootfs = { type: "layers", diff_ids: [digest(layer)] };
  const configBlob = Buffer.from(
    JSON.stringify({ created: CREATED, architecture: arch, os: "linux", config, rootfs, history }),
  );
  const describe = (mediaType, data) => ({ mediaType, digest: digest(data), size: data.length });
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: "application/vnd.oci.image.manifest.v1+json",
      config: describe("application/vnd.oci.image.config.v1+json", configBlob),
      layers: [describe("application/vnd.oci.image.layer.v1.tar", layer)],
    }),
  );
  const index = {
    schemaVersion: 2,
    manifests: [
      {
        ...describe("application/vnd.oci.image.manifest.v1+json", manifest),
        platform: { architecture: arch, os: "linux" },
        annotations: {
          "io.containerd.image.name": name,
          "org.opencontainers.image.ref.name": name.slice(name.lastIndexOf(":") + 1),
        },
      },
    ],
  };
  const blob = (data) => ({ path: `blobs/sha256/${digest(data).slice("sha256:".length)}`, data });
  const archive = tar([
    { path: "oci-layout", data: '{"imageLayoutVersion":"1.0.0"}' },
    { path: "index.json", data: JSON.stringify(index) },
    { path: "blobs", type: "dir" },
    { path: "blobs/sha256", type: "dir" },
    blob(configBlob),
    blob(manifest),
    blob(layer),
  ]);
  return { archive, digest: digest(manifest) };
}
