// SPDX-License-Identifier: Apache-2.0
import type { DeviceView, ResourceView } from "@holdfast/device";
import { expect, test } from "vitest";
import { formatDevices } from "../src/cli/commands/get-devices.ts";
import { cdiProblemOf } from "../src/run/device-side.ts";

const NOW = Date.UTC(2026, 0, 1, 12);
const FREE: DeviceView = {
  id: "gpu-0",
  health: "Healthy",
  reason: undefined,
  numaNodes: [],
  podUid: undefined,
  containers: [],
  history: [],
};
const BAD: DeviceView = {
  id: "gpu-1",
  health: "Unhealthy",
  reason: "the plugin says XID 79",
  numaNodes: [0, 1],
  podUid: "uid-1",
  containers: ["train"],
  history: [{ at: NOW - 120_000, healthy: false, reason: "the plugin says XID 79" }],
};

function resource(devices: readonly DeviceView[], more: Partial<ResourceView> = {}) {
  return {
    name: "example.com/gpu",
    capacity: devices.length,
    allocatable: 1,
    phase: "listing" as const,
    phaseForMs: 90_000,
    socket: "gpu.sock",
    problem: undefined,
    devices,
    holders: { "uid-1": "default/train" },
    ...more,
  };
}

test("every device in a row, what is wrong below", () => {
  const list = { folder: "/x", items: [resource([FREE, BAD])], refused: [] };
  expect(formatDevices(list, NOW, 200).split("\n")).toEqual([
    expect.stringMatching(/^RESOURCE +DEVICE +HEALTH +NUMA +POD +CONTAINERS +CHANGED +REASON$/),
    expect.stringMatching(/^example\.com\/gpu +gpu-0 +Healthy +- +- +- +-$/),
    expect.stringMatching(
      /^example\.com\/gpu +gpu-1 +Unhealthy +0,1 +default\/train +train +2m +the plugin says XID 79$/,
    ),
  ]);
  const gone = {
    folder: "/x",
    items: [resource([], { phase: "stopped", problem: "it crashed" })],
    refused: [],
  };
  expect(formatDevices(gone, NOW, 200)).toBe(
    "! example.com/gpu: its plugin is gone, for 90s\n! example.com/gpu: it crashed",
  );
  const none = { folder: "/x", items: [], refused: [] };
  expect(formatDevices(none, NOW, 200)).toBe("No device plugin has registered in /x.");
  const rude = resource([{ ...FREE, id: "gpu\u001b[2J", reason: "a\nb" }]);
  expect(formatDevices({ ...none, items: [rude] }, NOW, 200)).toMatch(/gpu\?\[2J .* a\?b$/);
  const refused = [
    { resource: "foo", socket: "/x/foo.sock", message: 'the ResourceName "foo" is invalid' },
    { resource: "", socket: "/y/csi.sock", message: "no handler registered" },
  ];
  expect(formatDevices({ ...none, refused }, NOW, 200)).toBe(
    `! "/x/foo.sock" ("foo"): refused: the ResourceName "foo" is invalid\n! "/y/csi.sock": refused: no handler registered`,
  );
});

test("which runtimes resolve CDI names", () => {
  const problem = (name: string, version: string, resolvesCdi?: boolean) =>
    cdiProblemOf({ name, version, ...(resolvesCdi === undefined ? {} : { resolvesCdi }) });
  expect(problem("containerd", "1.6.20~ds1")).toContain("resolves no CDI names");
  expect(problem("containerd", "v1.7.0")).toBeUndefined();
  expect(problem("containerd", "1.7.24", false)).toContain("enable_cdi = true");
  expect(problem("containerd", "1.7.24", true)).toBeUndefined();
  expect(problem("containerd", "2.1.9+unknown")).toBeUndefined();
  expect(problem("cri-o", "1.31.0")).toBeUndefined();
  expect(cdiProblemOf(undefined)).toBeUndefined();
});
