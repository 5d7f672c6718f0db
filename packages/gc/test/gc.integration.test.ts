// SPDX-License-Identifier: Apache-2.0

// On a real containerd (HOLDFAST_TEST_CONTAINERD): images pulled from a registry on the loopback, real containers, real logs.
import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { promisify } from "node:util";
import { gunzipSync } from "node:zlib";
import { Bus } from "@holdfast/bus";
import {
  CONTAINER_NAME_LABEL,
  INSTANCE_LABEL,
  POD_NAME_LABEL,
  POD_NAMESPACE_LABEL,
  POD_UID_LABEL,
  RESTART_COUNT_ANNOTATION,
} from "@holdfast/core/names";
import { systemClock } from "@holdfast/core/node";
import { seededRandom } from "@holdfast/core/random";
import { createCriClient } from "@holdfast/cri";
import {
  allLogs,
  ContainerGcManager,
  ContainerLogManager,
  ImageGcManager,
  nodeLogFiles,
  readNodeFilesystem,
  runtimeLogTargets,
} from "@holdfast/gc";
import type { FilesystemFigures, ImageGcManagerOptions } from "@holdfast/gc";
import { expect, test } from "vitest";
import { LocalRegistry } from "./local-registry.ts";

const BUSYBOX = "holdfast.local/busybox:1";
const MEBIBYTE = 1024 * 1024;
const GZIP_BYTE = 0x1f;

/** One pod's sandbox of an instance of its own on the real runtime. */
class Real implements AsyncDisposable {
  readonly uid = randomUUID();
  readonly labels = {
    [POD_UID_LABEL]: this.uid,
    [POD_NAME_LABEL]: "gc-test",
    [POD_NAMESPACE_LABEL]: "default",
  };
  readonly owner = { [INSTANCE_LABEL]: `gc-${this.uid}` };
  readonly podLogsDir = mkdtempSync(join(tmpdir(), "holdfast-gc-"));
  readonly folder = `${this.podLogsDir}/default_gc-test_${this.uid}`;
  readonly cri = createCriClient({ endpoint: process.env["HOLDFAST_TEST_CONTAINERD"] ?? "" });
  readonly bus = new Bus({ clock: systemClock, ringSize: 1000 });
  readonly #config = {
    metadata: { name: "gc-test", namespace: "default", uid: this.uid, attempt: 0 },
    labels: { ...this.labels, ...this.owner },
    logDirectory: this.folder,
    linux: { securityContext: { namespaceOptions: { network: 2 as const } } },
  };
  sandboxId = "";

  static async start(): Promise<Real> {
    const real = new Real();
    real.sandboxId = (await real.cri.runPodSandbox({ config: real.#config })).podSandboxId;
    return real;
  }

  async create(image: string, attempt = 0, script = "true"): Promise<string> {
    const { containerId } = await this.cri.createContainer({
      podSandboxId: this.sandboxId,
      sandboxConfig: this.#config,
      config: {
        metadata: { name: "app", attempt },
        image: { image },
        command: ["/bin/sh", "-c", script],
        labels: { ...this.labels, ...this.owner, [CONTAINER_NAME_LABEL]: "app" },
        annotations: { [RESTART_COUNT_ANNOTATION]: String(attempt) },
        logPath: `app/${attempt}.log`,
      },
    });
    return containerId;
  }

  images(options: Partial<ImageGcManagerOptions> = {}): ImageGcManager {
    return new ImageGcManager({
      runtime: this.cri,
      clock: systemClock,
      filesystem: readNodeFilesystem,
      policy: { minAgeMs: 0 },
      publish: this.bus,
      ...options,
    });
  }

  async pull(gc: ImageGcManager, reference: string): Promise<string> {
    const startedAt = systemClock.monotonic();
    const { imageRef } = await this.cri.pullImage({ image: { image: reference } });
    gc.imagePulled(imageRef, startedAt);
    return imageRef;
  }

  async listed(): Promise<ReadonlySet<string>> {
    return new Set((await this.cri.listImages({})).images.map(({ id }) => id));
  }

  async exited(containerId: string): Promise<void> {
    for (;;) {
      const { status } = await this.cri.containerStatus({ containerId });
      if (status?.state === 2) return;
      await systemClock.sleep(20);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.cri.stopPodSandbox({ podSandboxId: this.sandboxId });
    await this.cri.removePodSandbox({ podSandboxId: this.sandboxId });
    await this.cri.close();
    rmSync(this.podLogsDir, { recursive: true });
  }
}

test("the README's first program prints the plan of a containerd and removes nothing", async () => {
  await using real = await Real.start();
  const before = await real.listed();
  const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
  // Beside the package, so that it finds it by name.
  const file = new URL(`readme-${process.pid}.program.ts`, import.meta.url).pathname;
  writeFileSync(file, /```ts\n([\s\S]*?)```/.exec(readme)?.[1] ?? "");
  try {
    const argv = ["--conditions=@holdfast/source", file, real.cri.endpoint];
    const { stdout } = await promisify(execFile)(process.execPath, argv, { timeout: 20_000 });
    const lines = stdout.trim().split("\n");
    expect(lines[0]).toMatch(/^IMAGE +SIZE +/);
    expect(lines).toHaveLength(before.size + 2);
    expect(lines.at(-1)).toMatch(/images would go and free/);
  } finally {
    rmSync(file);
  }
  expect(await real.listed()).toEqual(before);
});

test("exactly what was planned goes; what is used, foreign, kept by a rule or for sandboxes stays", async () => {
  await using registry = await LocalRegistry.start();
  await using real = await Real.start();
  let figures: FilesystemFigures = { capacityBytes: 0, availableBytes: 0 };
  await using gc = real.images({
    filesystem: () => Promise.resolve(figures),
    policy: { minAgeMs: 0, keep: [{ label: "test.holdfast/name=kept" }] },
  });
  const before = await real.listed();
  const pulled: Record<string, string> = {};
  for (const name of ["used", "kept", "first", "second", "third"])
    pulled[name] = await real.pull(gc, registry.add(name, MEBIBYTE));
  const container = await real.create(pulled["used"] ?? "");
  // 2 of 10 MiB must go: two images, of which one is a little more than one.
  figures = { capacityBytes: 10 * MEBIBYTE, availableBytes: MEBIBYTE };
  const plan = await gc.plan();
  const rules = new Map(plan.entries.map(({ image, rule }) => [image.id, rule]));
  expect(Object.entries(pulled).map(([name, id]) => `${name} ${rules.get(id)}`)).toEqual([
    "used in-use",
    "kept keep-rule",
    "first space",
    "second enough-freed",
    "third enough-freed",
  ]);
  for (const id of before) expect(["not-ours", "in-use", "sandbox-image", "pinned"]).toContain(rules.get(id));
  const going = plan.entries.filter(({ verdict }) => verdict === "remove").map(({ image }) => image.id);
  const { removed, error } = await gc.collect();
  expect([removed, error]).toEqual([going, undefined]);
  const left = await real.listed();
  for (const id of going) expect(left).not.toContain(id);
  for (const id of [...before, pulled["used"], pulled["kept"], pulled["second"]]) expect(left).toContain(id);
  await real.cri.removeContainer({ containerId: container });
  await real
    .images({ policy: { minAgeMs: 0, images: "all", keep: [...before].map((digest) => ({ digest })) } })
    .deleteUnusedImages();
  expect([...(await real.listed())].sort()).toEqual([...before].sort());
});

test("an image that starts to be used while GC runs is not removed", async () => {
  await using registry = await LocalRegistry.start();
  await using real = await Real.start();
  await using gc = real.images();
  const random = seededRandom(1);
  for (let round = 0; round < 15; round++) {
    const reference = registry.add(`round-${round}`, 1000);
    const id = await real.pull(gc, reference);
    const pause = random() * 60;
    const start = systemClock.sleep(pause).then(() =>
      gc.locks.use(reference, async (hold) => {
        const { image } = await real.cri.imageStatus({ image: { image: reference } });
        if (image === undefined) await real.pull(gc, reference);
        await hold.add(id);
        return real.create(id, round);
      }),
    );
    const [containerId] = await Promise.all([start, gc.deleteUnusedImages()]);
    expect(await real.listed(), `round ${round}, ${pause} ms`).toContain(id);
    await real.cri.removeContainer({ containerId });
  }
  await gc.deleteUnusedImages();
  expect(real.bus.recent().map(({ type }) => type)).not.toContain("gc/RemovedImageUsed");
});

test("an image that somebody else begins to use while GC runs stays, or its loss is told", async () => {
  await using registry = await LocalRegistry.start();
  await using real = await Real.start();
  await using gc = real.images();
  const random = seededRandom(2);
  for (let round = 0; round < 20; round++) {
    const id = await real.pull(gc, registry.add(`foreign-${round}`, 1000));
    // Nothing is held: as a client that knows nothing of us.
    const create = systemClock
      .sleep(random() * 40)
      .then(() => real.create(id, round))
      .catch(() => undefined);
    const [containerId] = await Promise.all([create, gc.deleteUnusedImages()]);
    await gc.collect();
    const told = real.bus
      .recent()
      .filter(({ type, subject }) => type === "gc/RemovedImageUsed" && subject.containerId === containerId);
    const isThere = (await real.listed()).has(id);
    const outcome =
      containerId === undefined ? "the create failed" : isThere ? "it stayed" : "its loss was told";
    expect(told, `round ${round}: ${outcome}`).toHaveLength(outcome === "its loss was told" ? 1 : 0);
    if (containerId !== undefined) await real.cri.removeContainer({ containerId });
  }
  await gc.deleteUnusedImages();
});

test("dead containers of ours go, down to one of each name", async () => {
  await using real = await Real.start();
  const ids: string[] = [];
  for (let attempt = 0; attempt < 3; attempt++) {
    const containerId = await real.create(BUSYBOX, attempt);
    await real.cri.startContainer({ containerId });
    await real.exited(containerId);
    ids.push(containerId);
  }
  await using gc = new ContainerGcManager({
    runtime: real.cri,
    clock: systemClock,
    labelSelector: real.owner,
    pods: {
      allSourcesReady: () => true,
      shouldPodContentBeRemoved: () => false,
      shouldPodRuntimeBeRemoved: () => false,
      ownsPod: () => true,
    },
  });
  const { containers, error } = await gc.collect();
  expect([containers, error]).toEqual([ids.slice(0, 2), undefined]);
  const { containers: left } = await real.cri.listContainers({ filter: { labelSelector: real.owner } });
  expect(left.map(({ id }) => id)).toEqual(ids.slice(2));
});

test("no line is lost when the log of a fast writer is rotated again and again", async () => {
  await using real = await Real.start();
  // Writes until it is told to stop, which is after the fourth rotation, however fast this machine is.
  const script = `i=0; while [ ! -f /stop ]; do i=$((i+1)); echo "line $i of a log that is to be rotated"; done`;
  const containerId = await real.create(BUSYBOX, 0, script);
  await using manager = new ContainerLogManager({
    runtime: real.cri,
    clock: systemClock,
    files: nodeLogFiles([real.podLogsDir]),
    targets: runtimeLogTargets({ runtime: real.cri, labelSelector: real.owner, podLogsDir: real.podLogsDir }),
    rotation: { maxSizeBytes: 200_000, maxFiles: 1000 },
    podLogsDir: real.podLogsDir,
    publish: real.bus,
  });
  await real.cri.startContainer({ containerId });
  const folder = `${real.folder}/app`;
  const text = (): string =>
    allLogs("0.log", readdirSync(folder))
      .map((name) => readFileSync(`${folder}/${name}`))
      .map((data) => (data[0] === GZIP_BYTE ? gunzipSync(data) : data).toString())
      .join("");
  const running = async (): Promise<boolean> =>
    (await real.cri.containerStatus({ containerId })).status?.state === 1;
  const rotated = (): number => real.bus.recent().filter(({ type }) => type === "gc/LogRotated").length;
  while (rotated() < 4) await manager.rotateLogs();
  await real.cri.execSync({ containerId, cmd: ["touch", "/stop"], timeout: 10n });
  while (await running()) await manager.rotateLogs();
  await manager.stop();
  // containerd cuts a line in two where it has read half of it when the log is opened anew: both halves are there, each with a head of its own.
  const said = text().replaceAll(/^\S+ stdout [FP] (.*)\n/gm, "$1");
  const numbers = Array.from(said.matchAll(/line (\d+) of a log that is to be rotated/g), ([, number]) =>
    Number(number),
  );
  expect(numbers.length).toBeGreaterThan(4 * 2000);
  expect(numbers).toEqual(Array.from(numbers, (_, index) => index + 1));
});
