// SPDX-License-Identifier: Apache-2.0

// The command as a process of its own, from source; and its ports, for real.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";

import { Client, credentials } from "@grpc/grpc-js";
import { createCriClient } from "@holdfast/cri";
import { describe, expect, it, onTestFinished } from "vitest";

import { readArguments } from "../src/shell/arguments.ts";
import { start } from "./harness.ts";

const RUN = new URL("../src/shell/run.ts", import.meta.url).pathname;

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), "holdfast-fake-"));
  onTestFinished(() => rmSync(path, { recursive: true }));
  return path;
}

/** The command, and what it wrote. */
function run(...args: string[]) {
  const child = spawn(process.execPath, ["--conditions=@holdfast/source", RUN, ...args], { stdio: "pipe" });
  onTestFinished(() => void child.kill("SIGKILL"));
  const said = { out: "", err: "" };
  child.stdout.on("data", (text) => (said.out += String(text)));
  child.stderr.on("data", (text) => (said.err += String(text)));
  const lines = createInterface({ input: child.stdout });
  return { child, said, lines, ended: once(child, "close").then(([code]) => code as number | null) };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
}

describe("the arguments", () => {
  it.each<[string[], object]>([
    [["--help"], { do: "help" }],
    [["-h", "--listen", "x"], { do: "help" }],
    [["--version"], { do: "version" }],
    [["--check", "f"], { do: "check", script: "f" }],
    [["--listen", "unix:///s"], { do: "serve", listen: "unix:///s", script: undefined, writeLogs: true }],
    [
      ["--listen=/s", "--script=f", "--no-logs"],
      { do: "serve", listen: "/s", script: "f", writeLogs: false },
    ],
    [[], { do: "refuse", problem: "--listen is missing" }],
    [["--lisen", "x"], { do: "refuse" }],
    [["stray"], { do: "refuse" }],
    [["--listen"], { do: "refuse" }],
  ])("%j", (args, command) => expect(readArguments(args)).toMatchObject(command));
});

describe("holdfast-cri-fake", () => {
  it("tells what it takes", async () => {
    const { said, ended } = run("--help");
    expect(await ended).toBe(0);
    expect(said.out).toContain("--script FILE");
  });

  it("refuses a bad script with file, line and field", async () => {
    const file = join(folder(), "faults.yaml");
    writeFileSync(file, "faults:\n  - latency: 5\n");
    const { said, ended } = run("--listen", `unix://${file}.sock`, "--script", file);
    expect(await ended).toBe(3);
    expect(said.err).toContain(`${file}:2: faults[0].latency: is not known`);
  });

  it("serves a script, reads its faults anew, and ends", async () => {
    const where = folder();
    const script = join(where, "s.yaml");
    const [http, tcp, grpc] = [await freePort(), await freePort(), await freePort()];
    const program = {
      serve: [
        { port: http, kind: "http", paths: { "/bad": 500 } },
        { port: tcp, kind: "tcp" },
        { port: grpc, kind: "grpc", failAfterMs: 0 },
      ],
      output: [{ text: "started" }],
    };
    writeFileSync(script, JSON.stringify({ programs: [program] }));
    const { child, lines, ended } = run("--listen", `unix://${where}/s.sock`, "--script", script);
    await once(lines, "line");
    const cri = createCriClient({ endpoint: `unix://${where}/s.sock` });
    onTestFinished(() => cri.close());
    const { imageFilesystems } = await cri.imageFsInfo({});
    expect(imageFilesystems[0]?.fsId?.mountpoint, "a folder that is there").toBe(where);
    const { containerId } = await start(cri, { pod: "web" });
    const code = async (path: string) => (await fetch(`http://127.0.0.1:${http}${path}`)).status;
    await expect.poll(() => code("/").catch(() => 0)).toBe(200);
    expect(await code("/bad?x")).toBe(500);
    expect(await check(grpc, "")).toBe("0802");
    await expect(check(grpc, "other")).rejects.toThrow("NOT_FOUND");

    writeFileSync(
      script,
      JSON.stringify({ faults: [{ match: { method: "Version" }, error: { message: "no" } }] }),
    );
    child.kill("SIGHUP");
    await once(lines, "line");
    await expect(cri.version({})).rejects.toMatchObject({ code: "CRI_UNKNOWN" });

    await cri.stopContainer({ containerId, timeout: 1 });
    await expect(code("/")).rejects.toThrow("fetch failed");
    child.kill("SIGTERM");
    expect(await ended).toBe(0);
  });

  it("falls silent, and works for who connects anew", async () => {
    const where = folder();
    const { child, lines } = run("--listen", `unix://${where}/s.sock`, "--no-logs");
    await once(lines, "line");
    const before = createCriClient({ endpoint: `unix://${where}/s.sock` });
    await before.version({});
    child.kill("SIGUSR2");
    await once(lines, "line");
    await expect(before.version({}, { deadlineMs: 100 })).rejects.toMatchObject({ code: "CRI_DEADLINE" });
    const after = createCriClient({ endpoint: `unix://${where}/s.sock` });
    expect((await after.version({})).runtimeName).toBe("containerd");
    await Promise.all([before.close(), after.close()]);
  });

  it("is what the package's bin runs", () => {
    const bin = readFileSync(new URL("../bin/holdfast-cri-fake.js", import.meta.url), "utf8");
    expect(bin).toMatch(/^#!\/usr\/bin\/env node\n[\s\S]*"\.\.\/dist\/shell\/main\.js"/);
  });
});

/** Check of grpc.health.v1, as bytes: 08 01 is SERVING, 08 02 is not. */
function check(port: number, service: string): Promise<string> {
  const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
  const request = Buffer.concat([Buffer.from([0x0a, service.length]), Buffer.from(service)]);
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(
      "/grpc.health.v1.Health/Check",
      (bytes: Buffer) => bytes,
      (bytes: Buffer) => bytes,
      request,
      (error, answer) => {
        client.close();
        if (error === null) resolve((answer ?? Buffer.alloc(0)).toString("hex"));
        else reject(error);
      },
    );
  });
}
