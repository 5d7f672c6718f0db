// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";

// Set-up is plain JavaScript without types: it runs before anything is installed.
const lib = join(dirname(fileURLToPath(import.meta.url)), "..", "scripts", "lib");
const load = (name: string): Promise<Record<string, any>> => import(join(lib, `${name}.mjs`)); // oxlint-disable-line typescript/no-explicit-any
let dir = "";
beforeEach(() => void (dir = mkdtempSync(join(tmpdir(), "set-up-"))));
afterEach(() => rmSync(dir, { recursive: true, force: true }));

describe("the pods' subnet", () => {
  const header = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n";
  const route = (destination: string, mask: string): string =>
    `eth0\t${destination}\t00000000\t0001\t0\t0\t0\t${mask}\t0\t0\t0\n`;

  test("is the same for the same seed, and another one when that is taken", async () => {
    const { chooseSubnet, usedNetworks } = await load("network");
    const first: string = chooseSubnet("seed", []);
    expect(first).toMatch(/^10\.(8[89]|9\d|1\d\d|2[0-4]\d|25[0-4])\.\d+\.0\/24$/);
    expect(chooseSubnet("seed", [])).toBe(first);
    const bytes = first.split("/")[0]!.split(".").map(Number);
    const hex = [...bytes]
      .reverse()
      .map((byte) => byte.toString(16).padStart(2, "0"))
      .join("")
      .toUpperCase();
    const taken = usedNetworks(header + route(hex, "00FFFFFF"), {});
    expect(taken).toHaveLength(1);
    expect(chooseSubnet("seed", taken)).not.toBe(first);
  });

  test("avoids addresses without a route, is not hindered by a default route, and says when all are taken", async () => {
    const { chooseSubnet, usedNetworks } = await load("network");
    const lo = [{ family: "IPv4", address: "10.0.0.1", netmask: "255.0.0.0" }];
    expect(usedNetworks(header + route("00000000", "00000000"), {})).toEqual([]);
    expect(() => chooseSubnet("seed", usedNetworks(header, { lo }))).toThrow(/no free \/24/);
  });
});

describe("images", () => {
  test("a tar that tar reads, the same every time", async () => {
    const { tar } = await load("tar");
    const entries = [
      { path: "bin", type: "dir" },
      { path: "bin/tool", mode: 0o755, data: "x".repeat(700) },
      { path: "bin/link", type: "symlink", target: "tool" },
    ];
    const archive: Buffer = tar(entries);
    expect(archive.equals(tar(entries))).toBe(true);
    writeFileSync(join(dir, "a.tar"), archive);
    const listed = execFileSync("tar", ["-tvf", join(dir, "a.tar")], {
      encoding: "utf8",
      env: { ...process.env, TZ: "UTC" },
    });
    expect(
      listed
        .trim()
        .split("\n")
        .map((line) => line.replace(/\s+/g, " ")),
    ).toEqual([
      "drwxr-xr-x 0/0 0 1970-01-01 00:00 bin/",
      "-rwxr-xr-x 0/0 700 1970-01-01 00:00 bin/tool",
      "lrwxr-xr-x 0/0 0 1970-01-01 00:00 bin/link -> tool",
    ]);
    expect(() => tar([{ path: "a".repeat(101) }])).toThrow(/too long/);
  });

  test("an image layout whose digest depends on the content alone", async () => {
    const { ociArchive } = await load("oci");
    const image = {
      name: "holdfast.local/a:1",
      arch: "amd64",
      files: [{ path: "f", data: "1" }],
      config: { Cmd: ["f"] },
    };
    expect(ociArchive(image).digest).toBe(ociArchive(image).digest);
    expect(ociArchive({ ...image, files: [{ path: "f", data: "2" }] }).digest).not.toBe(
      ociArchive(image).digest,
    );
  });
});

describe("Debian's mirror", () => {
  test.each([
    [
      "sources.list",
      "deb [arch=amd64] https://mirror.example/debian/ bookworm main\n",
      "https://mirror.example/debian",
    ],
    [
      "sources.list.d/debian.sources",
      "Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm\n",
      "http://mirror.example/debian",
    ],
    [
      "sources.list.d/other.list",
      "deb https://packages.example/apt stable main\n",
      "http://deb.debian.org/debian",
    ],
    [
      "sources.list.d/old.list.save",
      "deb http://old.example/debian bookworm main\n",
      "http://deb.debian.org/debian",
    ],
  ])("from %s", async (file, text, expected) => {
    const { debianMirror } = await load("debian");
    mkdirSync(join(dir, "sources.list.d"));
    writeFileSync(join(dir, file), text);
    expect(debianMirror(dir)).toBe(expected);
  });
});

test("an iptables rule is split as its words were", async () => {
  const { splitRule } = await load("teardown");
  const line = String.raw`-A POSTROUTING -s 10.1.2.3/32 -m comment --comment "name: \"hf-1\" id: \"ab\"" -j CNI-1`;
  const words = [
    "-A",
    "POSTROUTING",
    "-s",
    "10.1.2.3/32",
    "-m",
    "comment",
    "--comment",
    'name: "hf-1" id: "ab"',
    "-j",
    "CNI-1",
  ];
  expect(splitRule(line)).toEqual(words);
});

test("an instance's socket fits into 107 bytes and its bridge's name into 15 characters", async () => {
  const { instancePaths } = await load("paths");
  const paths = instancePaths("a-name-of-sixtee");
  expect(Buffer.byteLength(`${paths.socket}.ttrpc`)).toBeLessThan(107);
  expect(paths.bridge.length).toBeLessThanOrEqual(15);
  expect(() => instancePaths("../x")).toThrow(/instance name/);
});
