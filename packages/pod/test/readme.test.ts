// SPDX-License-Identifier: Apache-2.0

import { execFile } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import * as pod from "@holdfast/pod";
import { describe, expect, it } from "vitest";

const folder = new URL("../", import.meta.url).pathname;
const readme = readFileSync(join(folder, "README.md"), "utf8");
const programs = Array.from(readme.matchAll(/```ts\n([\s\S]*?)```/g), ([, code = ""]) => code);
const sources = readdirSync(join(folder, "src"), { recursive: true, encoding: "utf8" })
  .filter((name) => name.endsWith(".ts"))
  .map((name) => readFileSync(join(folder, "src", name), "utf8"))
  .join("\n");

async function run(program: string, ...args: string[]): Promise<string> {
  // Beside the package, so that it finds it by name.
  const file = join(folder, "test", `readme-${process.pid}.program.ts`);
  writeFileSync(file, program);
  try {
    const argv = ["--conditions=@holdfast/source", file, ...args];
    return (await promisify(execFile)(process.execPath, argv, { timeout: 20_000 })).stdout;
  } finally {
    rmSync(file);
  }
}

function found(pattern: RegExp): string[] {
  return [...new Set(Array.from(sources.matchAll(pattern), ([, one = ""]) => one))].sort();
}

describe("the README", () => {
  it("opens with a program that runs", async () => {
    const [warning, ran, ...more] = (await run(programs[0] ?? "")).split("\n");
    expect(warning).toBe(
      "/etc/holdfast/manifests/web.yaml:6:3: warning: spec.priority: only says who makes room on a full node unless evictStaticPods is set: pods of manifests are not evicted",
    );
    expect(ran).toMatch(/^web-node-1 [0-9a-f]{32} Always$/);
    expect(more).toEqual([""]);
  });

  it("has a second program, which reads a folder", async () => {
    const manifests = mkdtempSync(join(tmpdir(), "holdfast-readme-"));
    try {
      const good = { apiVersion: "v1", kind: "Pod", metadata: { name: "web" } };
      const spec = { containers: [{ name: "app", image: "nginx:1.27" }] };
      writeFileSync(join(manifests, "good.json"), JSON.stringify({ ...good, spec }));
      writeFileSync(join(manifests, "bad.json"), JSON.stringify({ ...good, spec: {} }));
      const lines = (await run(programs[1] ?? "", manifests)).trim().split("\n");
      expect(lines[0]).toBe("ADD web-node-1");
    } finally {
      rmSync(manifests, { recursive: true });
    }
  });

  it("lists every event", () => {
    const table = readme.slice(readme.indexOf("## Events"), readme.indexOf("## Options"));
    const listed = Array.from(table.matchAll(/`([A-Z]\w+)`/g), ([, name = ""]) => name).sort();
    expect(listed).toEqual(found(/"pod\/(\w+)"/g));
    expect(Object.keys(pod)).toEqual(
      expect.arrayContaining(listed.map((name) => (name === "BackOff" ? "BackOffEvent" : name))),
    );
  });

  it("lists every error code, reason and metric", () => {
    const codes = Array.from(
      readme.matchAll(/^\| (`POD_.*?) \|/gm),
      ([, cell = ""]) => cell.match(/POD_\w+/g) ?? [],
    );
    expect(codes.flat().sort()).toEqual(found(/"(POD_[A-Z_]+)"/g));
    const type = /type SyncReason =([^;]*);/.exec(sources)?.[1] ?? "";
    const reasons = /^Reasons: ([\s\S]*?)\.$/m.exec(readme)?.[1] ?? "";
    expect(reasons.match(/\w+/g)).toEqual(type.match(/\w+/g));
    const metrics = readme.match(/kubelet_\w+/g) ?? [];
    expect([...new Set(metrics)].sort()).toEqual(found(/"(kubelet_\w+)"/g));
  });

  it("names every option", () => {
    for (const name of ["FilePodSourceOptions", "KubeRuntimeOptions"]) {
      const body = new RegExp(`interface ${name} \\{([\\s\\S]*?)\\n\\}`).exec(sources)?.[1] ?? "";
      const options = Array.from(body.matchAll(/readonly (\w+)\??:/g), ([, option = ""]) => option);
      expect(options.length).toBeGreaterThan(5);
      for (const option of options) expect(readme).toContain(`\`${option}\``);
    }
  });
});
