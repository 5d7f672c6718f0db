// SPDX-License-Identifier: Apache-2.0

import { existsSync, readFileSync } from "node:fs";
import { arch, cpus, hostname, networkInterfaces, release, totalmem } from "node:os";
import type { MachineFacts } from "../ports.ts";

const LINK_LOCAL = /^(?:fe[89ab]|169\.254\.)/i;

/** Reads the machine's facts once: files under /proc and /etc, no programs. Missing ones are empty. */
export function readMachineFacts(): MachineFacts {
  const text = (path: string): string => {
    try {
      return readFileSync(path, "utf8").trim();
    } catch {
      return ""; // a fact that this machine does not have
    }
  };
  return {
    hostName: hostname(),
    machineId: text("/etc/machine-id"),
    bootId: text("/proc/sys/kernel/random/boot_id"),
    kernelVersion: release(),
    osImage: /^PRETTY_NAME="?([^"\n]*)/m.exec(text("/etc/os-release"))?.[1] ?? "",
    architecture: arch() === "x64" ? "amd64" : arch(),
    cpus: cpus().length,
    memoryBytes: totalmem(),
    swapBytes: Number(/^SwapTotal:\s+(\d+) kB/m.exec(text("/proc/meminfo"))?.[1] ?? 0) * 1024,
    cgroupVersion: existsSync("/sys/fs/cgroup/cgroup.controllers") ? 2 : 1,
    hostIP: firstAddress(),
  };
}

/** kubelet: the node's address where none is given: of the first interface that leads out, IPv4 before IPv6. */
function firstAddress(): string | undefined {
  const addresses = Object.values(networkInterfaces()).flatMap((of) => of ?? []);
  const outside = addresses.filter(({ internal, address }) => !internal && !LINK_LOCAL.test(address));
  return (outside.find(({ family }) => family === "IPv4") ?? outside[0])?.address;
}
