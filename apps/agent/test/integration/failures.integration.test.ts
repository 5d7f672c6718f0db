// SPDX-License-Identifier: Apache-2.0

// Containers that cannot run, each told with the kubelet's reason, and none a nuisance to the pods beside it.
import { mkdirSync } from "node:fs";
import { expect, test } from "vitest";
import { BUSYBOX, container, NONROOT, pod, script } from "./harness/manifests.ts";
import { startNode } from "./harness/test-node.ts";
import type { TestNode } from "./harness/test-node.ts";

function waiting(node: TestNode, name: string, reason: RegExp): Promise<string> {
  return node.until(async () => {
    const state = (await node.pod(name))?.status.containerStatuses?.[0]?.state?.waiting;
    return reason.test(state?.reason ?? "") && `${state?.reason}: ${state?.message}`;
  }, `${name} waits with ${reason}`);
}

test("an image that does not exist: ErrImagePull, then ImagePullBackOff, others unharmed", async () => {
  // A name that resolves nowhere: no registry is asked.
  const image = "registry.invalid/no/such:1";
  await using node = await startNode({
    pods: [pod("missing", { containers: [container("main", { image })] }), pod("beside")],
  });
  const beside = await node.runningContainer("beside");
  await waiting(node, "missing", /^(ErrImagePull|ImagePullBackOff)$/);
  expect(await waiting(node, "missing", /^ImagePullBackOff$/)).toContain(`Back-off pulling image "${image}"`);
  expect((await node.cli("get", "pods")).stdout).toMatch(
    /missing-\S+\s+0\/1\s+(ImagePullBackOff|ErrImagePull)/,
  );
  expect((await node.runningContainer("beside")).id).toBe(beside.id);
  node.remove("missing");
  await node.until(async () => (await node.sandboxes("missing")).length === 0, "it can be removed");
});

test("imagePullPolicy Never and no image: ErrImageNeverPull", async () => {
  const image = "holdfast.local/never-made:1";
  await using node = await startNode({
    pods: [pod("never", { containers: [container("main", { image, imagePullPolicy: "Never" })] })],
  });
  expect(await waiting(node, "never", /^ErrImageNeverPull$/)).toContain(image);
});

test("an image's name that is none: InvalidImageName", async () => {
  await using node = await startNode({
    pods: [pod("noname", { containers: [container("main", { image: "Not//An:::Image" })] })],
  });
  expect(await waiting(node, "noname", /^InvalidImageName$/)).toContain("Not//An:::Image");
});

test("a command that does not exist is told, with the runtime's words", async () => {
  await using node = await startNode({
    pods: [
      pod("nocommand", { containers: [container("main", { command: ["/no/such/program"] })] }),
      pod("beside"),
    ],
  });
  const status = await node.until(async () => {
    const found = (await node.pod("nocommand"))?.status.containerStatuses?.[0];
    return JSON.stringify(found ?? {}).includes("/no/such/program") && found;
  }, "the reason is shown");
  const reasons = [
    status.state?.waiting?.reason,
    status.state?.terminated?.reason,
    status.lastState?.terminated?.reason,
  ];
  expect(reasons.some((reason) => /RunContainerError|StartError|CrashLoopBackOff/.test(reason ?? ""))).toBe(
    true,
  );
  await node.runningContainer("beside");
  node.remove("nocommand");
  await node.until(async () => (await node.sandboxes("nocommand")).length === 0, "it can be removed");
});

test("runAsNonRoot refuses an image that runs as root, and takes one that does not", async () => {
  const securityContext = { runAsNonRoot: true };
  await using node = await startNode({
    pods: [
      pod("root", { securityContext, containers: [container("main", { image: BUSYBOX })] }),
      pod("user", { securityContext, containers: [container("main", { image: NONROOT })] }),
      pod("given", {
        securityContext,
        containers: [container("main", { securityContext: { runAsUser: 1234, runAsGroup: 2345 } })],
      }),
    ],
  });
  expect(await waiting(node, "root", /^CreateContainerConfigError$/)).toMatch(/runAsNonRoot.*root/);
  await node.runningContainer("user");
  expect((await node.cli("exec", `user-${node.name}`, "--", "id", "-u")).stdout).toBe("65532\n");
  await node.runningContainer("given");
  expect((await node.cli("exec", `given-${node.name}`, "--", "sh", "-c", "id -u; id -g")).stdout).toBe(
    "1234\n2345\n",
  );
});

test("more memory than its limit: OOMKilled", async () => {
  const resources = { limits: { memory: "16Mi" } };
  // A string that doubles, in the main process itself.
  const command = script("a=xxxxxxxxxxxxxxxx; while :; do a=$a$a; done");
  await using node = await startNode({
    pods: [
      pod("greedy", { restartPolicy: "Never", containers: [container("main", { command, resources })] }),
    ],
  });
  const found = await node.until(async () => {
    const greedy = await node.pod("greedy");
    return greedy?.status.phase === "Failed" && greedy;
  }, "it is killed");
  expect(found.status.containerStatuses?.[0]?.state?.terminated).toMatchObject({
    reason: "OOMKilled",
    exitCode: 137,
  });
});

test("a hostPath that must exist and does not keeps the pod waiting, and lets it go on when it appears", async () => {
  await using node = await startNode();
  const path = `${node.places.state}/appears`;
  node.write(
    pod("path", {
      volumes: [{ name: "v", hostPath: { path, type: "Directory" } }],
      containers: [container("main", { volumeMounts: [{ name: "v", mountPath: "/v" }] })],
    }),
  );
  await node.until(async () => {
    const { stdout } = await node.cli("get", "pods");
    return stdout.includes(path);
  }, "get pods names the missing path");
  mkdirSync(path);
  expect((await node.runningContainer("path")).metadata?.attempt).toBe(0);
});
