// SPDX-License-Identifier: Apache-2.0
/* The private containerd's configuration, as a pure function of facts. */

/**
 * @param {object} facts
 * @param {ReturnType<typeof import("./paths.mjs").instancePaths>} facts.paths
 * @param {{ runc: string, cni: string }} facts.files
 * @param {"overlayfs" | "native"} facts.snapshotter
 * @param {boolean} facts.systemdCgroup
 * @param {boolean} facts.restrictOomScoreAdj without CAP_SYS_RESOURCE runc dies when it is told to lower a score
 * @param {string} facts.pauseImage
 * @returns {string} TOML of configuration version 2, which containerd 1.6 and 1.7 read and 2.x migrates by itself
 */
export function containerdConfig({
  paths,
  files,
  snapshotter,
  systemdCgroup,
  restrictOomScoreAdj,
  pauseImage,
}) {
  const q = JSON.stringify;
  return `# Written by scripts/lib/containerd.mjs at every start; changes are lost.
version = 2
root = ${q(paths.root)}
state = ${q(paths.state)}
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
  "io.containerd.snapshotter.v1.blockfile",
  "io.containerd.nri.v1.nri",
  "io.containerd.tracing.processor.v1.otlp",
  "io.containerd.internal.v1.tracing",
]

[grpc]
  address = ${q(paths.socket)}

[plugins."io.containerd.internal.v1.opt"]
  path = ${q(`${paths.root}/opt`)}

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = ${q(pauseImage)}
  restrict_oom_score_adj = ${restrictOomScoreAdj}
  netns_mounts_under_state_dir = true

  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = ${q(files.cni)}
    conf_dir = ${q(paths.cniConf)}

  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = ${q(snapshotter)}
    default_runtime_name = "runc"

    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"

      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        BinaryName = ${q(files.runc)}
        Root = ${q(paths.runc)}
        SystemdCgroup = ${systemdCgroup}

  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = ${q(paths.certs)}
`;
}
