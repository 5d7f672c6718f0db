// SPDX-License-Identifier: Apache-2.0

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import * as gc from "@holdfast/gc";
import { describe, expect, it } from "vitest";

const folder = new URL("../", import.meta.url).pathname;
const readme = readFileSync(join(folder, "README.md"), "utf8");
const sources = readdirSync(join(folder, "src"), { recursive: true, encoding: "utf8" })
  .filter((name) => name.endsWith(".ts"))
  .map((name) => readFileSync(join(folder, "src", name), "utf8"))
  .join("\n");

function all(text: string, pattern: RegExp): string[] {
  return [...new Set(Array.from(text.matchAll(pattern), ([, one = ""]) => one))].sort();
}

// Its first program is run by gc.integration.test.ts, on a real containerd.
describe("the README", () => {
  it("lists every event, and each is exported", () => {
    const events = all(sources, /"gc\/(\w+)"/g);
    expect(all(readme, /`gc\/(\w+)`/g)).toEqual(events);
    expect(Object.keys(gc)).toEqual(expect.arrayContaining(events));
  });

  it("lists every metric and error code", () => {
    expect(all(readme, /`((?:kubelet|holdfast)_\w+)/g)).toEqual(
      all(sources, /"((?:kubelet|holdfast)_\w+)"/g),
    );
    expect(all(readme, /`(GC_\w+)`/g)).toEqual(all(sources, /"(GC_\w+)"/g));
  });

  it("names every option and every rule", () => {
    for (const name of ["ImageGcManagerOptions", "ContainerGcManagerOptions", "ContainerLogManagerOptions"]) {
      const body = new RegExp(`interface ${name} \\{([\\s\\S]*?)\\n\\}`).exec(sources)?.[1] ?? "";
      const options = all(body, /readonly (\w+)\??:/g);
      expect(options.length).toBeGreaterThan(8);
      for (const option of options)
        expect(readme, `${name}.${option}`).toMatch(new RegExp(`\`${option}[.\`]`));
    }
    const rules = /type ImageRule =([^;]*);/.exec(sources)?.[1] ?? "";
    for (const rule of all(rules, /"([\w-]+)"/g)) expect(readme).toContain(`\`${rule}\``);
  });
});
