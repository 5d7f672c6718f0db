// SPDX-License-Identifier: Apache-2.0

import type { JournalEvent } from "@holdfast/journal";
import { expect, test } from "vitest";
import { imageNames } from "../src/image-names.ts";
import { tellImage, tellNode } from "../src/tell-node.ts";
import { Bench, event } from "./builders.ts";

const onNode = (type: string, data: unknown): JournalEvent => event(type, 5, {}, data);

test.each([
  [
    "oom/SystemOOM",
    { process: "java", pid: 7, memoryBytes: 3 * 2 ** 20 },
    "the machine was out of memory: the kernel killed java (pid 7), which held 3.0 MiB",
  ],
  ["oom/ProcessOOM", {}, "the kernel killed a process at a memory limit that is no container's of ours"],
  ["oomwatch/KmsgGap", { lost: 12 }, "12 records of the kernel's log were overwritten before they were read"],
  ["oomwatch/KmsgChanged", { problem: "EPERM" }, "the kernel's log cannot be read: EPERM"],
  ["oomwatch/KmsgChanged", {}, "the kernel's log can be read again"],
  [
    "gc/ImageGcStarted",
    { images: 3, usagePercent: 91 },
    "image GC: 3 images have to go, their disk is 91 % full",
  ],
  ["gc/ImageGcStarted", { images: 1, by: "ann" }, "image GC: 1 image has to go (asked for by ann)"],
  ["gc/LogRotationFailed", { path: "/a", error: "EIO" }, "log /a was not rotated: EIO"],
  [
    "device/ResourceChanged",
    { resource: "x.io/gpu", capacity: 2, allocatable: 1 },
    "x.io/gpu: 1 of 2 devices can be used",
  ],
  ["other/Thing", { message: "said so", reason: "Why" }, "Why: said so"],
  ["other/Thing", { a: 1, b: "two", c: {}, d: "" }, "Thing a=1 b=two"],
])("%s of the node: %j", (type, data, title) => {
  expect(tellNode([onNode(type, data)]).chapters.map((chapter) => chapter.title)).toEqual([title]);
});

test.each([
  ["gc/ImageRemoving", { reason: "unused for 2h" }, "it will be removed: unused for 2h"],
  ["gc/ImageRemoved", { reason: "unused for 2h", sizeBytes: 2 ** 20 }, "removed, 1.0 MiB: unused for 2h"],
  ["gc/ImageSpared", { why: "a pod began to use it" }, "it stays: a pod began to use it"],
  [
    "pod/BackOff",
    { message: 'Back-off pulling image "x:1"', remainingMs: 39_900 },
    'Back-off pulling image "x:1"; the next pull comes in 40s',
  ],
])("%s of an image: %j", (type, data, title) => {
  expect(tellImage("x:1", [onNode(type, data)]).chapters[0]?.title).toBe(title);
});

test.each([
  ["busybox", ["busybox", "docker.io/library/busybox", "busybox:latest", "docker.io/library/busybox:latest"]],
  ["busybox:1", ["busybox:1", "docker.io/library/busybox:1"]],
  ["docker.io/library/busybox:1", ["docker.io/library/busybox:1", "busybox:1"]],
  ["docker.io/me/app:latest", ["docker.io/me/app:latest", "me/app:latest", "docker.io/me/app", "me/app"]],
  ["me/app:2", ["me/app:2", "docker.io/me/app:2"]],
  ["localhost:5000/app:2", ["localhost:5000/app:2"]],
  ["quay.io/a/b", ["quay.io/a/b", "quay.io/a/b:latest"]],
  ["quay.io/a/b@sha256:1", ["quay.io/a/b@sha256:1"]],
])("image %s is looked for as %j", (given, names) => {
  expect(imageNames(given)).toEqual(names);
});

test("an image's story is found under any of its names, in one order", async () => {
  await using bench = new Bench();
  await bench.journal.start();
  bench.publish("pod/Pulling", { message: "pulling", reason: "Pulling" }, { image: "busybox:latest" });
  bench.publish(
    "gc/ImageRemoved",
    { reason: "unused", sizeBytes: 0 },
    { image: "docker.io/library/busybox:latest" },
  );
  expect(bench.journal.whyImage("busybox").chapters.map(({ title }) => title)).toEqual([
    "removed, 0.0 MiB: unused",
    "Pulling: pulling",
  ]);
});

test("a message that is a paragraph stands below a short title", () => {
  const message = `Failed to pull image: ${"x".repeat(400)}`;
  const { headline, chapters } = tellImage("x:1", [onNode("pod/PullFailed", { reason: "Failed", message })]);
  expect(headline.length).toBeLessThan(200);
  expect(chapters[0]?.title).toMatch(/^Failed: Failed to pull image: x+…$/);
  expect(chapters[0]?.lines).toEqual([message]);
});
