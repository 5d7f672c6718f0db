// SPDX-License-Identifier: Apache-2.0

/** Settings of a runtime that it shows in a verbose Status; undefined where it does not tell. */
export interface RuntimeSettings {
  /** Whether cgroups are systemd's. containerd: `SystemdCgroup`. */
  readonly systemdCgroup?: boolean;
  /** Whether it resolves CDI names. containerd: `enable_cdi`, off by default in 1.7. */
  readonly resolvesCdi?: boolean;
}

const SETTINGS: Readonly<Record<keyof RuntimeSettings, RegExp>> = {
  systemdCgroup: /"systemd_?cgroup":\s*(true|false)/i,
  resolvesCdi: /"enable_?cdi":\s*(true|false)/i,
};

/** Out of `StatusResponse.info`: containerd's own configuration is one of its values, as JSON of some kilobytes. */
export function readRuntimeSettings(info: Readonly<Record<string, string>>): RuntimeSettings {
  const config = info["config"] ?? "";
  return Object.fromEntries(
    Object.entries(SETTINGS).flatMap(([name, pattern]) => {
      const shown = pattern.exec(config)?.[1];
      return shown === undefined ? [] : [[name, shown === "true"]];
    }),
  );
}
