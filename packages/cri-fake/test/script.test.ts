// SPDX-License-Identifier: Apache-2.0

import { ManualClock } from "@holdfast/core/manual-clock";
import { FakeRuntime, parseScript } from "@holdfast/cri-fake";
import type { ProgramQuery } from "@holdfast/cri-fake";
import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { runSandbox, start, statusOf } from "./harness.ts";

const query = (about: Partial<ProgramQuery>): ProgramQuery => ({
  containerId: "c",
  podUid: "u",
  podName: "p",
  podNamespace: "default",
  name: "app",
  attempt: 0,
  image: "busybox",
  command: [],
  args: [],
  env: {},
  labels: {},
  annotations: {},
  inside: {
    hostname: "h",
    resolvConf: "",
    sysctls: { "net.ipv4.tcp_syncookies": "1" },
    uid: 7,
    userName: "",
    gid: 8,
    groups: [8, 9],
    readOnlyRoot: false,
  },
  ...about,
});

describe("a script", () => {
  it.each<[string, string]>([
    ["runtime:\n  containerd: '3'", 'f.yaml:2: runtime.containerd: must be one of 1.6, 1.7, 2.1, is "3"'],
    [
      "faults:\n  - match: { methd: X }",
      "f.yaml:2: faults[0].match.methd: is not known; did you mean method?",
    ],
    ["faults:\n  - latencyMs: -1", "f.yaml:2: faults[0].latencyMs: must be a number of 0 or more, is -1"],
    ["faults:\n  - hang: 1", "f.yaml:2: faults[0].hang: must be true or false, is 1"],
    [
      "faults:\n  - match: { nth: [1, 0] }",
      "f.yaml:2: faults[0].match.nth[1]: must be a whole number of 1 or more, is 0",
    ],
    ["faults: {}", "f.yaml:1: faults: must be a list, is a mapping"],
    ["faults:", "f.yaml:1: faults: has no value"],
    ["\n- a", "f.yaml:2: must be a mapping, is a list"],
    ["programs:\n- serve:\n  - kind: http", "f.yaml:3: programs[0].serve[0].port: is required"],
    [
      "imageFs:\n\n  capacityBytes: 1Xi",
      "f.yaml:3: imageFs.capacityBytes: must be a number of bytes, such as 67108864 or 64Mi",
    ],
    [
      "images:\n- reference: 5",
      "f.yaml:2: images[0].reference: must be a text (in quotes when it looks like a number), is 5",
    ],
    ["images:\n- reference: ''", "f.yaml:2: images[0].reference: must be a text that is not empty"],
    ["a: &x {}\nfaults: *x", "f.yaml:2: faults: must be a list, is an alias, which is not read"],
    ["faults: []\n---\nfaults: []", "f.yaml:2: a script is one document"],
    ["faults: [", "f.yaml:1: is not YAML: "],
    [
      "wrong: 1",
      "f.yaml:1: wrong: is not known; known are runtime, imageFs, images, registry, programs, faults",
    ],
  ])("%j is refused", (text, problem) => {
    expect(() => parseScript(text, "f.yaml")).toThrow(
      expect.objectContaining({
        code: "CRI_FAKE_SCRIPT",
        message: expect.stringContaining(problem) as string,
      }) as Error,
    );
  });

  it("has an end", () => {
    expect(() => parseScript("#".repeat(1_048_577), "f")).toThrow("f:1: is larger than 1048576 bytes");
  });

  it("names every problem at once, and stops at 20", () => {
    const text = `faults:\n${"- hang: 1\n".repeat(25)}`;
    expect(() => parseScript(text, "f")).toThrow(/f:2:[\s\S]*f:21:[\s\S]*and 5 more$/);
  });

  it.each(["", "# nothing\n", "{}"])("%j is all defaults", async (text) => {
    const fake = new FakeRuntime({ clock: new ManualClock(), ...parseScript(text, "f") });
    expect((await start(fake)).containerId).toMatch(/^[0-9a-f]{64}$/);
  });

  it("never throws anything else", () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
        try {
          parseScript(text, "f");
        } catch (error) {
          expect(error).toMatchObject({ code: "CRI_FAKE_SCRIPT" });
        }
      }),
    );
  });

  it("chooses the first program that fits", () => {
    const { programs } = parseScript(
      `programs:
        - { match: { container: app, podName: other }, exitCode: 1 }
        - { match: { command: "sh -c *", labels: { a: b } }, exitCode: 2 }
        - { match: { image: "quay.io/*", attempt: 1 }, exitCode: 3 }
        - { match: { podNamespace: default }, exitCode: 4, exitAfterMs: .inf }`,
      "f",
    );
    const code = (about: Partial<ProgramQuery>) => programs?.(query(about)).exitCode;
    expect(code({ podName: "other" })).toBe(1);
    expect(code({ command: ["sh"], args: ["-c", "x"], labels: { a: "b", c: "d" } })).toBe(2);
    expect(code({ image: "quay.io/x", attempt: 1 })).toBe(3);
    expect(code({ image: "quay.io/x" })).toBe(4);
    expect(code({ podNamespace: "kube-system" })).toBeUndefined();
  });

  it("answers execs by their command", () => {
    const program = parseScript(
      'programs: [{ exec: [{ command: "cat /ready", exitCode: 1 }, { command: "echo *", stdout: hi }] }]',
      "f",
    ).programs?.(query({}));
    expect(program?.exec?.(["cat", "/ready"]).exitCode).toBe(1);
    expect(program?.exec?.(["echo", "a"]).stdout).toBe("hi");
    expect(program?.exec?.(["nope"]).exitCode).toBe(127);
  });

  it("fills in what a program finds around itself", () => {
    const text = `programs:
      - { match: { readOnlyRoot: true }, exitCode: 1 }
      - output: [{ text: "\${hostname} \${uid}:\${gid} \${groups} \${sysctls.net.ipv4.tcp_syncookies}" }]
        exec: [{ stdout: "\${no}\${sysctls.no}\${toString}\${userName} $1 \${", stderr: "\${readOnlyRoot}" }]`;
    const { programs } = parseScript(text, "f");
    const program = programs?.(query({}));
    expect(program?.output).toEqual([{ text: "h 7:8 8 9 1" }]);
    expect(program?.exec?.(["x"])).toEqual({ stdout: " $1 ${", stderr: "false" });
    const { inside } = query({});
    expect(programs?.(query({ inside: { ...inside, readOnlyRoot: true } })).exitCode).toBe(1);
  });

  it("is a runtime with faults, images and a registry", async () => {
    const clock = new ManualClock();
    const text = JSON.stringify({
      runtime: { containerd: "1.7", seed: 3, latencyMs: { PullImage: 0 } },
      images: [{ reference: "holdfast.local/busybox:1", uid: 7, pinned: true }],
      registry: [
        { reference: "a:1", size: "3Mi", tags: ["b:1"] },
        { reference: "*", user: "nobody" },
      ],
      programs: [{ match: { container: "app" }, exitAfterMs: 10, exitCode: 3 }],
      faults: [
        { match: { method: ["Version", "Status"], nth: 2 }, error: { code: "CRI_INTERNAL", message: "no" } },
      ],
    });
    const fake = new FakeRuntime({ clock, ...parseScript(text, "f.json") });
    expect((await fake.version({})).runtimeVersion).toBe("1.7.24");
    await expect(fake.status({})).rejects.toMatchObject({ code: "CRI_INTERNAL" });
    await fake.pullImage({ image: { image: "b:1" } });
    await fake.pullImage({ image: { image: "c:1" } });
    const { images } = await fake.listImages({});
    expect(images).toMatchObject([
      { uid: { value: 7n }, pinned: true },
      { size: 3_145_728n },
      { username: "nobody", repoTags: ["docker.io/library/c:1"] },
    ]);
    const { containerId } = await start(fake);
    await clock.advance(10);
    expect(await statusOf(fake, containerId)).toMatchObject({ exitCode: 3 });
    await runSandbox(fake, "another");
  });
});
