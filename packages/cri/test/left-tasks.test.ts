// SPDX-License-Identifier: Apache-2.0

import { status } from "@grpc/grpc-js";
import type { handleUnaryCall } from "@grpc/grpc-js";
import { createCriClient } from "@holdfast/cri";
import { describe, expect, it } from "vitest";

import { scriptedServer } from "./scripted-server.ts";
import type { Script } from "./scripted-server.ts";

const one = "1".repeat(64);
const two = "2".repeat(64);

/** A containerd that refuses to remove what still has a task; a stubborn one does not go. */
function withTasks(tasks: Set<string>, { stubborn = false } = {}): { script: Script; seen: string[] } {
  const seen: string[] = [];
  const removal =
    (name: string): handleUnaryCall<unknown, unknown> =>
    (_call, done) => {
      seen.push(name);
      const [left] = tasks;
      // As containerd 1.6.20 words it.
      if (left === undefined) done(null, {});
      else
        done({
          code: status.UNKNOWN,
          details: `failed to delete containerd container: cannot delete running task ${left}: failed precondition`,
        });
    };
  const step =
    (name: string): handleUnaryCall<{ containerId: string }, unknown> =>
    (call, done) => {
      const { containerId } = call.request;
      seen.push(`${name} ${containerId.slice(0, 1)} in ${call.metadata.get("containerd-namespace").join()}`);
      if (!tasks.has(containerId)) return done({ code: status.NOT_FOUND, details: "no such task" });
      if (name === "delete" && !stubborn) tasks.delete(containerId);
      done(null, {});
    };
  const script = {
    removeContainer: removal("RemoveContainer"),
    removePodSandbox: removal("RemovePodSandbox"),
    kill: step("kill"),
    wait: step("wait"),
    delete: step("delete"),
  };
  return { script: script as Script, seen };
}

describe("a removal that a left task refuses", () => {
  it("ends and deletes the task in the CRI's namespace, and removes", async () => {
    const { script, seen } = withTasks(new Set([one]));
    await using server = await scriptedServer(script);
    await using client = createCriClient({ endpoint: server.endpoint });
    await client.removeContainer({ containerId: one });
    expect(seen).toEqual([
      "RemoveContainer",
      "kill 1 in k8s.io",
      "wait 1 in k8s.io",
      "delete 1 in k8s.io",
      "RemoveContainer",
    ]);
  });

  it("goes on to the next task of the sandbox", async () => {
    const { script, seen } = withTasks(new Set([one, two]));
    await using server = await scriptedServer(script);
    await using client = createCriClient({ endpoint: server.endpoint });
    await client.removePodSandbox({ podSandboxId: "s" });
    expect(seen.filter((call) => call.startsWith("delete"))).toEqual([
      "delete 1 in k8s.io",
      "delete 2 in k8s.io",
    ]);
    expect(seen.at(-1)).toBe("RemovePodSandbox");
  });

  it("tells the runtime's own error when the task does not go, after a bounded number of attempts", async () => {
    const { script, seen } = withTasks(new Set([one]), { stubborn: true });
    await using server = await scriptedServer(script);
    await using client = createCriClient({ endpoint: server.endpoint });
    await expect(client.removeContainer({ containerId: one })).rejects.toMatchObject({
      kind: "retryable",
      message: expect.stringContaining("cannot delete running task"),
    });
    expect(seen.filter((call) => call === "RemoveContainer")).toHaveLength(9);
  });

  it("touches no task for any other refusal", async () => {
    const { script, seen } = withTasks(new Set());
    const refusal: handleUnaryCall<unknown, unknown> = (_call, done) =>
      done({ code: status.UNKNOWN, details: `container ${one} is in starting state, can't be removed` });
    await using server = await scriptedServer({ ...script, removeContainer: refusal } as Script);
    await using client = createCriClient({ endpoint: server.endpoint });
    await expect(client.removeContainer({ containerId: one })).rejects.toMatchObject({ kind: "retryable" });
    expect(seen).toEqual([]);
  });
});
