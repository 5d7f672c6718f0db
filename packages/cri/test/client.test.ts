// SPDX-License-Identifier: Apache-2.0

import { getEventListeners } from "node:events";
import { rmSync } from "node:fs";
import { createServer } from "node:net";

import { status } from "@grpc/grpc-js";
import type { handleUnaryCall, UntypedHandleCall } from "@grpc/grpc-js";
import { isDeadline, isRetryable } from "@holdfast/core/errors";
import { ManualClock } from "@holdfast/core/manual-clock";
import { MetricsRegistry } from "@holdfast/core/metrics";
import {
  Container,
  createCriClient,
  CriError,
  ListContainersResponse,
  ListImagesResponse,
  VersionResponse,
} from "@holdfast/cri";
import type { CreateContainerRequest, ListContainersRequest } from "@holdfast/cri";
import { describe, expect, it, vi } from "vitest";

import { answers, fails, hangs, scriptedServer, temporarySocket } from "./scripted-server.ts";

const version = VersionResponse.create({
  version: "0.1.0",
  runtimeName: "scripted",
  runtimeApiVersion: "v1",
});

async function failureOf(work: Promise<unknown>): Promise<CriError> {
  const error = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof CriError)) throw new TypeError(`not a CriError: ${String(error)}`);
  return error;
}

describe("a call", () => {
  it("fills in what the request leaves out and gives back the decoded answer", async () => {
    const seen: CreateContainerRequest[] = [];
    await using server = await scriptedServer({
      createContainer: answers((request: CreateContainerRequest) => {
        seen.push(request);
        return { containerId: "c1" };
      }),
    });
    await using client = createCriClient({ endpoint: server.endpoint });
    const answer = await client.createContainer({
      podSandboxId: "s1",
      config: { metadata: { name: "web" }, envs: [{ key: "A", value: Buffer.from("b") }] },
    });
    expect(answer.containerId).toBe("c1");
    expect(seen[0]?.config?.metadata).toEqual({ name: "web", attempt: 0 });
    expect(seen[0]?.config?.envs[0]?.value.toString()).toBe("b");
  });

  it("accepts a bare path, and another socket for images", async () => {
    await using runtime = await scriptedServer({ version: answers(() => version) });
    await using images = await scriptedServer({
      listImages: answers(() => ListImagesResponse.create({ images: [{ id: "i" }] })),
    });
    await using client = createCriClient({ endpoint: runtime.path, imageEndpoint: images.endpoint });
    expect((await client.version({})).runtimeName).toBe("scripted");
    expect((await client.listImages({})).images[0]?.id).toBe("i");
    expect(client.endpoint).toBe(runtime.endpoint);
  });

  it("leaves no timer and no listener behind, however it ends", async () => {
    const hung = hangs();
    await using server = await scriptedServer({
      version: answers(() => version),
      status: fails(status.UNKNOWN, "no"),
      startContainer: hung.handler,
    });
    const clock = new ManualClock();
    await using client = createCriClient({ endpoint: server.endpoint, clock });
    const controller = new AbortController();
    const { signal } = controller;
    await client.version({}, { signal });
    await failureOf(client.status({}, { signal }));
    expect(getEventListeners(signal, "abort")).toHaveLength(0);
    expect(clock.waiting).toBe(0);

    const started = client.startContainer({ containerId: "c1" }, { signal });
    const outcome = expect(started).rejects.toThrow("enough");
    await hung.called;
    expect(client.inFlight()).toEqual([{ method: "StartContainer", target: "c1", ageMs: 0 }]);
    controller.abort(new Error("enough"));
    await outcome;
    await hung.cancelled;
    expect(getEventListeners(signal, "abort")).toHaveLength(0);
    expect(clock.waiting).toBe(0);
    expect(client.inFlight()).toEqual([]);
  });

  it("is not made on an aborted signal", async () => {
    await using client = createCriClient({ endpoint: "/nowhere.sock" });
    const reason = new Error("no need");
    await expect(client.version({}, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });
});

describe("a deadline", () => {
  it("runs on the clock, cancels the call and says what was asked of whom", async () => {
    const hung = hangs();
    await using server = await scriptedServer({ stopContainer: hung.handler });
    const clock = new ManualClock();
    await using client = createCriClient({ endpoint: server.endpoint, clock });
    let settled = false;
    const stopped = failureOf(client.stopContainer({ containerId: "c1", timeout: 30n }));
    void stopped.then(() => (settled = true));
    await hung.called;
    await clock.advance(149_999);
    expect(settled).toBe(false);
    await clock.advance(1);
    const error = await stopped;
    expect(error).toMatchObject({
      code: "CRI_DEADLINE",
      kind: "deadline",
      method: "StopContainer",
      target: "c1",
      deadlineMs: 150_000,
      mayHaveHappened: true,
      message: "StopContainer of c1: no answer from the runtime within 150000 ms",
    });
    expect(isDeadline(error)).toBe(true);
    expect(isRetryable(error)).toBe(false);
    await hung.cancelled;
  });

  it("can be given with the call, and is not moved by a step of the wall clock", async () => {
    const hung = hangs();
    await using server = await scriptedServer({ version: hung.handler });
    const clock = new ManualClock();
    await using client = createCriClient({ endpoint: server.endpoint, clock });
    const asked = failureOf(client.version({}, { deadlineMs: 700 }));
    await hung.called;
    clock.stepWall(3_600_000);
    clock.stepWall(-7_200_000);
    expect(clock.nextIn).toBe(700);
    await clock.advance(700);
    expect((await asked).deadlineMs).toBe(700);
  });

  it("hurts nobody else: other calls go on beside a hung one", async () => {
    const hung = hangs();
    await using server = await scriptedServer({
      runPodSandbox: hung.handler,
      version: answers(() => version),
    });
    const clock = new ManualClock();
    await using client = createCriClient({ endpoint: server.endpoint, clock });
    const run = failureOf(
      client.runPodSandbox({ config: { metadata: { namespace: "default", name: "stuck" } } }),
    );
    await hung.called;
    for (let round = 0; round < 20; round++) await client.version({});
    await clock.advance(240_000);
    expect((await run).message).toBe(
      "RunPodSandbox of default/stuck: no answer from the runtime within 240000 ms",
    );
  });
});

describe("a runtime that is not well", () => {
  it("absent: fails fast, retryable, and names the socket", async () => {
    using socket = temporarySocket();
    await using client = createCriClient({ endpoint: socket.path });
    const error = await failureOf(client.version({}));
    expect(error).toMatchObject({ code: "CRI_UNAVAILABLE", kind: "retryable", mayHaveHappened: false });
    expect(error.message).toContain(`nothing answers at unix://${socket.path}`);
    expect(error.message).toContain("ENOENT");
  });

  it("restarted: a call in flight is lost as such, and later ones reach the new one", async () => {
    const hung = hangs();
    await using server = await scriptedServer({
      version: answers(() => version),
      runPodSandbox: hung.handler,
    });
    await using client = createCriClient({ endpoint: server.endpoint });
    await client.version({});
    const lost = failureOf(client.runPodSandbox({}));
    await hung.called;
    await server.stop();
    expect(await lost).toMatchObject({ code: "CRI_UNAVAILABLE", kind: "retryable", mayHaveHappened: true });
    expect((await failureOf(client.version({}))).code).toBe("CRI_UNAVAILABLE");
    await server.start();
    await vi.waitFor(async () => expect((await client.version({})).runtimeName).toBe("scripted"), 10_000);
  });

  it("answers what is no message", async () => {
    const garbage: UntypedHandleCall = ((_call, done) => done(null, { version: "x" })) as handleUnaryCall<
      unknown,
      unknown
    > as UntypedHandleCall;
    await using server = await scriptedServer({ version: garbage });
    await using client = createCriClient({ endpoint: server.endpoint });
    // Field 1, length-delimited, 100 bytes announced, two there.
    const encode = vi
      .spyOn(VersionResponse, "encode")
      .mockImplementation(() => ({ finish: () => Uint8Array.of(0x0a, 100, 1, 2) }) as never);
    try {
      expect(await failureOf(client.version({}))).toMatchObject({
        code: "CRI_GARBAGE",
        kind: "retryable",
        method: "Version",
        mayHaveHappened: true,
      });
    } finally {
      encode.mockRestore();
    }
  });

  it("speaks no HTTP/2 at all", async () => {
    using socket = temporarySocket();
    const noise = createServer((connection) => connection.end("SSH-2.0-OpenSSH_9.2\r\n"));
    await new Promise<void>((resolve) => noise.listen(socket.path, resolve));
    await using client = createCriClient({ endpoint: socket.path });
    const error = await failureOf(client.version({}));
    noise.close();
    expect(isRetryable(error)).toBe(true);
    expect(error.message).toContain(socket.path);
  });

  it("answers with more than the limit", async () => {
    await using server = await scriptedServer({
      listContainers: answers((request: ListContainersRequest) => ({
        containers: [
          Container.create({ id: "x".repeat(request.filter?.id === "big" ? 17 << 20 : 15 << 20) }),
        ],
      })),
    });
    await using client = createCriClient({ endpoint: server.endpoint });
    expect((await client.listContainers({})).containers[0]?.id).toHaveLength(15 << 20);
    const error = await failureOf(client.listContainers({ filter: { id: "big" } }));
    expect(error).toMatchObject({ code: "CRI_MESSAGE_TOO_LARGE", kind: "permanent" });
    expect(error.message).toContain("over the limit of 16777216 bytes");
  });

  it("is asked with more than the limit", async () => {
    await using server = await scriptedServer({ version: answers(() => version) });
    await using client = createCriClient({ endpoint: server.endpoint, maxMessageBytes: 4096 });
    expect((await failureOf(client.version({ version: "x".repeat(5000) }))).code).toBe(
      "CRI_MESSAGE_TOO_LARGE",
    );
  });
});

describe("closing", () => {
  it("ends what is in flight, refuses what comes after, and can be repeated", async () => {
    const hung = hangs();
    await using server = await scriptedServer({ pullImage: hung.handler });
    const client = createCriClient({ endpoint: server.endpoint });
    const pull = failureOf(client.pullImage({ image: { image: "busybox" } }));
    const events = client.containerdEvents().next();
    await hung.called;
    await Promise.all([client.close(), expect(events).rejects.toThrow("client is closed")]);
    await client.close();
    expect(await pull).toMatchObject({
      code: "CRI_CLOSED",
      kind: "cancelled",
      target: "busybox",
      mayHaveHappened: true,
    });
    expect(await failureOf(client.version({}))).toMatchObject({ code: "CRI_CLOSED", mayHaveHappened: false });
    expect(client.inFlight()).toEqual([]);
    rmSync(server.path, { force: true });
  });
});

describe("call metrics", () => {
  it("have the kubelet's names and operation types; giving up a call is no error", async () => {
    const hung = hangs();
    await using server = await scriptedServer({
      version: answers(() => version),
      removePodSandbox: fails(status.INTERNAL, "busy"),
      runPodSandbox: hung.handler,
    });
    const metrics = new MetricsRegistry();
    await using client = createCriClient({ endpoint: server.endpoint, metrics });
    await client.version({});
    await failureOf(client.removePodSandbox({ podSandboxId: "s" }));
    const controller = new AbortController();
    const run = client.runPodSandbox({}, { signal: controller.signal });
    const outcome = expect(run).rejects.toThrow("aborted");
    await hung.called;
    const inFlight = { operation_type: "run_podsandbox" };
    expect(metrics.value("holdfast_runtime_operations_in_flight", inFlight)).toBe(1);
    controller.abort();
    await outcome;
    expect(metrics.value("holdfast_runtime_operations_in_flight", inFlight)).toBe(0);
    for (const [operation, errors] of [
      ["version", 0],
      ["remove_podsandbox", 1],
      ["run_podsandbox", 0],
    ] as const) {
      const labels = { operation_type: operation };
      expect(metrics.value("kubelet_runtime_operations_total", labels)).toBe(1);
      expect(metrics.value("kubelet_runtime_operations_duration_seconds", labels)).toBe(1);
      expect(metrics.value("kubelet_runtime_operations_errors_total", labels)).toBe(errors);
    }
  });
});

describe("options", () => {
  it("that make no sense are refused all at once", () => {
    expect(() =>
      createCriClient({
        endpoint: "tcp://1.2.3.4:5",
        maxMessageBytes: 1,
        deadlines: { imagePullMs: Number.NaN },
      }),
    ).toThrow(/endpoint is "tcp:\/\/1\.2\.3\.4:5".*imagePullMs is NaN.*maxMessageBytes is 1/);
  });
});

describe("lists", () => {
  it("come out alike with and without interning", async () => {
    const containers = Array.from({ length: 50 }, (_, index) =>
      Container.create({ id: `c${index}`, labels: { app: "wäb", "io.kubernetes.pod.namespace": "default" } }),
    );
    await using server = await scriptedServer({
      listContainers: answers(() => ListContainersResponse.create({ containers })),
    });
    await using plain = createCriClient({ endpoint: server.endpoint, internedStrings: 0 });
    await using interning = createCriClient({ endpoint: server.endpoint, internedStrings: 10 });
    expect(await interning.listContainers({})).toEqual(await plain.listContainers({}));
  });
});
