// SPDX-License-Identifier: Apache-2.0

/** systemd's D-Bus interface through `busctl`, which every systemd machine has: a native D-Bus library would cost the daemon more. */
import { execFile } from "node:child_process";
import { HoldfastError } from "@holdfast/core/errors";
import type { SliceProperty, SystemdSlices } from "../ports.ts";

const BUSCTL_TIMEOUT_MS = 10_000;
const MANAGER = ["org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager"];

/** Slices of the system's own systemd. */
export const systemdSlices: SystemdSlices = {
  async start(slice, properties) {
    const all: SliceProperty[] = [
      ["Description", "s", `holdfast cgroup ${slice}`],
      ["DefaultDependencies", "b", "false"],
      ["CPUAccounting", "b", "true"],
      ["MemoryAccounting", "b", "true"],
      ["TasksAccounting", "b", "true"],
      ...properties,
    ];
    try {
      await busctl("StartTransientUnit", "ssa(sv)a(sa(sv))", slice, "fail", ...flat(all), "0");
    } catch (error) {
      // "was already loaded or has a fragment file". Loaded is not started: a stopped unit stays loaded while another one names it.
      if (!String((error as Error).message).includes("already loaded")) throw error;
      if (properties.length > 0) await systemdSlices.set(slice, properties);
      await busctl("StartUnit", "ss", slice, "replace");
    }
  },
  async set(slice, properties) {
    // true: until the next boot only.
    await busctl("SetUnitProperties", "sba(sv)", slice, "true", ...flat(properties));
  },
  async restart(slice) {
    await busctl("RestartUnit", "ss", slice, "replace");
  },
  async stop(slice) {
    await busctl("StopUnit", "ss", slice, "replace").catch((error: Error) => {
      if (!error.message.includes("not loaded")) throw error;
    });
  },
};

/** An array of structures as busctl takes it: its length, then the parts. */
function flat(properties: readonly SliceProperty[]): string[] {
  return [String(properties.length), ...properties.flat()];
}

function busctl(method: string, ...args: string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    execFile(
      "busctl",
      ["call", ...MANAGER, method, ...args],
      { timeout: BUSCTL_TIMEOUT_MS },
      (cause, _stdout, stderr) => {
        if (cause === null) resolve();
        else
          reject(
            new HoldfastError(
              "RESOURCE_SYSTEMD",
              "retryable",
              `systemd ${method} ${args[0] ?? ""}: ${stderr.trim() || cause.message}`,
              { cause },
            ),
          );
      },
    );
  });
}
