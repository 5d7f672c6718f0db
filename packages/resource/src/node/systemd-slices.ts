// SPDX-License-Identifier: Apache-2.0

/** systemd's D-Bus interface through `busctl`, which every systemd machine has: a native D-Bus library would cost the daemon more. */
import { execFile } from "node:child_process";
import { HoldfastError } from "@holdfast/core/errors";
import type { SliceProperty, SystemdSlices } from "../ports.ts";

const BUSCTL_TIMEOUT_MS = 10_000;
const MANAGER = ["org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager"];

/** Slices of the system's own systemd. */
export const systemdSlices: SystemdSlices = {
  async ensure(slice, properties) {
    const all: SliceProperty[] = [
      ["Description", "s", `holdfast cgroup ${slice}`],
      ["DefaultDependencies", "b", "false"],
      ["CPUAccounting", "b", "true"],
      ["MemoryAccounting", "b", "true"],
      ["TasksAccounting", "b", "true"],
      ...properties,
    ];
    const flat = all.flatMap(([name, type, value]) => [name, type, value]);
    try {
      await busctl("StartTransientUnit", "ssa(sv)a(sa(sv))", slice, "fail", String(all.length), ...flat, "0");
    } catch (error) {
      // Already there: only its values are set.
      if (!String((error as Error).message).includes("already")) throw error;
      const settable = properties.flatMap(([name, type, value]) => [name, type, value]);
      if (properties.length > 0)
        await busctl("SetUnitProperties", "sba(sv)", slice, "true", String(properties.length), ...settable);
    }
  },
  async stop(slice) {
    await busctl("StopUnit", "ss", slice, "replace").catch((error: Error) => {
      if (!error.message.includes("not loaded")) throw error;
    });
  },
};

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
