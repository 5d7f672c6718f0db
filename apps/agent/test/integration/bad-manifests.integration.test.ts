// SPDX-License-Identifier: Apache-2.0

// Bad input is answered, never obeyed half, and never harms a pod that runs.
import { chmodSync, mkdirSync, renameSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { container, pod } from "./harness/manifests.ts";
import { startNode } from "./harness/test-node.ts";
import type { TestNode } from "./harness/test-node.ts";

/** Waits until `get pods` shows a problem with this text. */
function problemShown(node: TestNode, text: string | RegExp): Promise<string> {
  return node.until(async () => {
    const { stdout } = await node.cli("get", "pods");
    return stdout
      .split("\n")
      .find((line) => (typeof text === "string" ? line.includes(text) : text.test(line)));
  }, `get pods shows ${text}`);
}

test("a manifest edited into something invalid: the old pod runs on, the problem is shown, and mended it is taken up", async () => {
  await using node = await startNode({ pods: [pod("edited")] });
  const before = await node.runningContainer("edited");
  const file = node.write(
    pod("edited", { containers: [container("main", { imagePullPolicy: "Sometimes" })] }),
  );

  const shown = await problemShown(node, "imagePullPolicy");
  expect(shown).toContain("edited.yaml");
  const checked = await node.cli("validate", file);
  expect(checked.code).toBe(1);
  expect(checked.stdout).toMatch(
    /edited\.yaml:\d+(:\d+)?: error: spec\.containers\[0\]\.imagePullPolicy: .*Sometimes/,
  );
  expect((await node.runningContainer("edited")).id).toBe(before.id);

  // Also over a restart of the agent: the last good manifest is kept.
  await node.kill9();
  await node.start();
  await problemShown(node, "imagePullPolicy");
  expect((await node.runningContainer("edited")).id).toBe(before.id);

  node.write(pod("edited", { containers: [container("main", { env: [{ name: "MENDED", value: "1" }] })] }));
  await node.until(async () => {
    const running = await node.running("edited");
    return running.length === 1 && running[0]?.id !== before.id;
  }, "the mended manifest is taken up");
  expect((await node.podList()).manifestProblems).toEqual([]);
  expect((await node.cli("validate", file)).code).toBe(0);
});

const ALIAS_BOMB = `a: &a [x,x,x,x,x,x,x,x,x,x]
${Array.from("bcdefghi", (name, index) => `${name}: &${name} [${Array.from({ length: 10 }, () => `*${"abcdefgh"[index]}`).join(",")}]`).join("\n")}
`;

test("files that are no manifests are told by name, and the pods beside them run", async () => {
  await using node = await startNode({ pods: [pod("good")] });
  const good = await node.runningContainer("good");
  node.write("a: [1, 2\nb: }", "broken.yaml");
  node.write(ALIAS_BOMB, "bomb.yaml");
  node.write(`# ${"x".repeat(10 * 1024 * 1024)}\n`, "huge.yaml");
  writeFileSync(
    join(node.places.manifests, "binary.yaml"),
    Buffer.from(Array.from({ length: 512 }, (_, i) => i % 256)),
  );
  node.write({ apiVersion: "v1", kind: "Deployment", metadata: { name: "d" } }, "kind.yaml");
  node.write(pod("Not_A_Label"), "label.yaml");
  node.write(pod("twice", { containers: [container("same"), container("same")] }), "twice.yaml");
  node.write(pod("noimage", { containers: [{ name: "main" }] }), "noimage.yaml");
  node.write(
    pod("port", { containers: [container("main", { ports: [{ containerPort: 70000 }] })] }),
    "port.yaml",
  );
  node.write(pod("grace", { terminationGracePeriodSeconds: -1 }), "grace.yaml");
  symlinkSync("loop.yaml", join(node.places.manifests, "loop.yaml"));

  const expected = [
    "broken",
    "bomb",
    "huge",
    "binary",
    "kind",
    "label",
    "twice",
    "noimage",
    "port",
    "grace",
    "loop",
  ];
  const problems = await node.until(async () => {
    const { manifestProblems } = await node.podList();
    return (
      expected.every((name) => manifestProblems.some((line) => line.includes(`${name}.yaml`))) &&
      manifestProblems
    );
  }, "every bad file is told");
  const of = (name: string): string => problems.filter((line) => line.includes(`${name}.yaml`)).join("\n");
  expect(of("broken")).toMatch(/broken\.yaml:\d+/);
  expect(of("huge")).toMatch(/262144|256 ?Ki/);
  expect(of("kind")).toContain("Deployment");
  expect(of("twice")).toContain("spec.containers[1].name");
  expect(of("noimage")).toContain("spec.containers[0].image");
  expect(of("port")).toMatch(/containerPort.*65535/);
  expect(of("grace")).toContain("terminationGracePeriodSeconds");
  expect((await node.runningContainer("good")).id).toBe(good.id);
  expect((await node.sandboxes()).length).toBe(1);

  for (const name of expected) node.remove(`${name}.yaml`);
  await node.until(
    async () => (await node.podList()).manifestProblems.length === 0,
    "the problems go with their files",
  );
});

test("two files that define the same pod: the first one's pod runs on, the second is refused by name", async () => {
  await using node = await startNode();
  node.write(pod("shared"), "first.yaml");
  const before = await node.runningContainer("shared");
  node.write(pod("shared", { containers: [container("other")] }), "second.yaml");
  const { manifestProblems } = await node.until(async () => {
    const list = await node.podList();
    return list.manifestProblems.length > 0 && list;
  }, "the second file is refused");
  expect(manifestProblems.join("\n")).toMatch(/second\.yaml.*first\.yaml|first\.yaml.*second\.yaml/);
  expect((await node.runningContainer("shared")).id).toBe(before.id);
  expect((await node.sandboxes()).length).toBe(1);
});

test("a folder that disappears takes no pod with it until it is back", async () => {
  await using node = await startNode({
    kubelet: { fileCheckFrequency: "500ms" },
    pods: [pod("kept"), pod("dropped")],
  });
  await node.until(async () => (await node.running()).length === 2, "two pods run");
  const kept = await node.runningContainer("kept");
  const away = `${node.places.manifests}.away`;
  renameSync(node.places.manifests, away);
  await problemShown(node, node.places.manifests);
  expect((await node.running()).length).toBe(2);

  renameSync(away, node.places.manifests);
  node.remove("dropped");
  await node.until(async () => (await node.sandboxes("dropped")).length === 0, "the removed pod goes");
  expect((await node.runningContainer("kept")).id).toBe(kept.id);
  await node.until(async () => (await node.podList()).manifestProblems.length === 0, "no problem is left");
});

test("hidden files, editors' files and folders are no manifests", async () => {
  await using node = await startNode();
  for (const name of [".hidden.yaml", "a.yaml~", "#a.yaml#", "a.yaml.swp", "a.yaml.bak"])
    node.write(pod("never"), name);
  mkdirSync(join(node.places.manifests, "folder.yaml"));
  node.write(pod("seen"));
  await node.runningContainer("seen");
  const { items, manifestProblems } = await node.podList();
  expect(items.map(({ metadata }) => metadata.name)).toEqual([`seen-${node.name}`]);
  expect(manifestProblems).toEqual([]);
});

test("a field that is not honoured yet is named", async () => {
  await using node = await startNode();
  const volumes = [{ name: "v", configMap: { name: "c" } }];
  const file = node.write(pod("unhonoured", { volumes }));
  await problemShown(node, "configMap");
  expect(await node.sandboxes()).toEqual([]);
  const { code, stdout } = await node.cli("validate", file);
  expect(code).toBe(1);
  expect(stdout).toContain("spec.volumes[0].configMap");
});

test("a file whose mode forbids everything is read by root all the same", async () => {
  await using node = await startNode();
  const file = node.write(pod("guarded"));
  chmodSync(file, 0o000);
  expect((await node.runningContainer("guarded")).metadata?.name).toBe("main");
});
