// SPDX-License-Identifier: Apache-2.0

// The program that the README opens with, as pasted, on a runtime behind a socket.
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { systemClock } from "@holdfast/core/node";
import { FakeRuntime, serveFakeRuntime } from "@holdfast/cri-fake";

test("the README opens with a program of at most 15 lines that prints what happens to a container", async () => {
  const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
  const program = /```ts\n([\s\S]*?)```/.exec(readme)?.[1] ?? "";
  expect(program.trimEnd().split("\n").length).toBeLessThanOrEqual(15);
  const folder = mkdtempSync(join(tmpdir(), "holdfast-pleg-"));
  const runtime = new FakeRuntime({ clock: systemClock });
  const server = await serveFakeRuntime(runtime, { listen: `unix://${folder}/fake.sock` });
  // Beside the package, so that it finds it by name.
  const file = new URL(`./readme-${process.pid}.program.ts`, import.meta.url).pathname;
  writeFileSync(file, program);
  const child = spawn(process.execPath, ["--conditions=@holdfast/source", file, server.endpoint]);
  try {
    const config = { metadata: { name: "demo", namespace: "default", uid: "uid-demo", attempt: 0 } };
    const { podSandboxId } = await runtime.runPodSandbox({ config });
    const printed = reader(child);
    await printed.until(/pleg\/ContainerStarted default\/demo/);
    const { containerId } = await runtime.createContainer({
      podSandboxId,
      sandboxConfig: config,
      config: { metadata: { name: "main", attempt: 0 }, image: { image: "holdfast.local/busybox:1" } },
    });
    await runtime.startContainer({ containerId });
    await printed.until(/pleg\/ContainerStarted default\/demo [^]*name: 'main'/);
    runtime.kill(containerId, { exitCode: 3 });
    await printed.until(/pleg\/ContainerDied default\/demo [^]*exitCode: 3/);
  } finally {
    child.kill();
    await server.stop();
    await runtime.end();
    rmSync(file);
    rmSync(folder, { recursive: true });
  }
});

function reader(child: ReturnType<typeof spawn>): { until(pattern: RegExp): Promise<void> } {
  let text = "";
  let look = (): void => {};
  let isOver = false;
  const take = (chunk: Buffer): void => {
    text += chunk.toString();
    look();
  };
  child.stdout?.on("data", take);
  child.stderr?.on("data", take);
  child.on("exit", () => {
    isOver = true;
    look();
  });
  const until = (pattern: RegExp): Promise<void> =>
    new Promise((resolve, reject) => {
      look = () => {
        if (pattern.test(text)) resolve();
        else if (isOver) reject(new Error(`the program ended: ${text}`));
      };
      look();
    });
  return { until };
}
