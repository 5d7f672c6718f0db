// SPDX-License-Identifier: Apache-2.0

/** `v1.Volume` of the Kubernetes 1.36 API: every source by name. */
import { object, quantity, refused, string } from "./field-table.ts";
import type { Field } from "./field-table.ts";

const ONLY_LOCAL = "only emptyDir and hostPath volumes are supported yet";
const NO_API = "static pods may not reference it, and only emptyDir and hostPath volumes are supported yet";

const LOCAL_SOURCES = [
  "projected",
  "downwardAPI",
  "image",
  "gitRepo",
  "nfs",
  "iscsi",
  "fc",
  "glusterfs",
  "rbd",
  "cephfs",
] as const;
const REMOTE_SOURCES = [
  "awsElasticBlockStore",
  "azureDisk",
  "azureFile",
  "cinder",
  "flexVolume",
  "flocker",
  "gcePersistentDisk",
  "photonPersistentDisk",
  "portworxVolume",
  "quobyte",
  "scaleIO",
  "storageos",
  "vsphereVolume",
] as const;
const API_SOURCES = ["configMap", "secret", "persistentVolumeClaim", "csi", "ephemeral"] as const;

const refuseAll = (names: readonly string[], reason: string): Record<string, Field> =>
  Object.fromEntries(names.map((name) => [name, volumeSource(reason)]));

/** An empty source (`secret: {}`) is a source all the same: nothing but null is inert. */
function volumeSource(reason: string): Field {
  return { ...refused(reason), inert: [null] };
}

/** Sources that are honoured; a volume has at most one. */
export const HONOURED_VOLUME_SOURCES = ["emptyDir", "hostPath"] as const;

/** One volume of a pod. */
export const volume: Field = object({
  name: string({ required: true }),
  emptyDir: object({
    medium: string({ values: ["", "Memory"] }),
    sizeLimit: quantity(),
  }),
  hostPath: object({
    path: string({ required: true }),
    type: string({
      values: [
        "",
        "DirectoryOrCreate",
        "Directory",
        "FileOrCreate",
        "File",
        "Socket",
        "CharDevice",
        "BlockDevice",
      ],
    }),
  }),
  ...refuseAll(LOCAL_SOURCES, ONLY_LOCAL),
  ...refuseAll(REMOTE_SOURCES, ONLY_LOCAL),
  ...refuseAll(API_SOURCES, NO_API),
});
