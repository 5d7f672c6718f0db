// SPDX-License-Identifier: Apache-2.0
import { ManualClock } from "@holdfast/core/manual-clock";
import type { PodPhase } from "@holdfast/core/pod-types";
import { ApiServerSink, findCondition, StatusManager, StatusSinkError, StatusSync } from "@holdfast/status";
import type { ApiPod, ApiServerSinkOptions, StatusUpdate } from "@holdfast/status";
import { NodeHttp } from "@holdfast/status/node";
import { describe, expect, test } from "vitest";
import { exited, options, pod, record, runtime, sandbox } from "../builders.ts";
import { FakeApiServer, send, status } from "./fake-api-server.ts";

const never = new AbortController().signal;

async function setUp(more: Partial<ApiServerSinkOptions> = {}) {
  const server = new FakeApiServer();
  const http = new NodeHttp({ baseUrl: await server.start(), token: () => "secret", maxBodyBytes: 100_000 });
  const clock = new ManualClock();
  const manager = new StatusManager({ clock });
  const sink = new ApiServerSink({ http, clock, ...more });
  const ofApi: ApiPod = pod("Never", ["a"], [], { source: "api" });
  const update = (): StatusUpdate => {
    const [one] = manager.all();
    if (one?.pod === undefined) throw new Error("no status yet");
    return { ...one, pod: one.pod, removed: false };
  };
  const runs = (of: ApiPod = ofApi): StatusUpdate => {
    manager.update(of, runtime([record("a")]), options());
    return update();
  };
  return {
    server,
    http,
    clock,
    manager,
    sink,
    ofApi,
    update,
    runs,
    shown: () => server.pods.get("default/web")?.status,
    write: (of: StatusUpdate = update()) => sink.write(of, never),
    async [Symbol.asyncDispose]() {
      http[Symbol.dispose]();
      await server[Symbol.asyncDispose]();
    },
  };
}

const failure = async (work: Promise<unknown>): Promise<StatusSinkError> => {
  const error: unknown = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error instanceof StatusSinkError) return error;
  throw new Error(`no StatusSinkError: ${String(error)}`);
};

describe("writing", () => {
  test("one PATCH and no read; the pod's UID goes along; what others wrote stays; the same again is no call", async () => {
    await using rig = await setUp();
    const { server, ofApi, runs, write, shown } = rig;
    server.put({
      ...ofApi,
      status: {
        phase: "Pending",
        conditions: [{ type: "example.com/Gate", status: "True" }],
        nominatedNodeName: "n",
      },
    });
    runs();
    expect(await write()).toBe("written");
    expect(server.seen).toMatchObject([
      {
        method: "PATCH",
        path: "/api/v1/namespaces/default/pods/web/status",
        type: "application/strategic-merge-patch+json",
        body: { metadata: { uid: "uid-1" } },
      },
    ]);
    expect(shown()).toMatchObject({ phase: "Running", podIP: "10.88.0.2", nominatedNodeName: "n" });
    expect(findCondition(shown()?.conditions, "example.com/Gate")?.status).toBe("True");
    expect(findCondition(shown()?.conditions, "Ready")?.status).toBe("True");
    expect(await write()).toBe("unchanged");
    expect(server.seen.length).toBe(1);
  });

  test("the second write carries only what differs", async () => {
    await using rig = await setUp();
    const { server, ofApi, manager, runs, write } = rig;
    server.put({ ...ofApi, status: { phase: "Pending" } });
    runs();
    await write();
    manager.cordon("uid-1", "anna");
    await write();
    const order = { type: "PodReadyToStartContainers" };
    expect(server.seen[1]?.body).toEqual({
      metadata: { uid: "uid-1" },
      status: {
        "$setElementOrder/conditions": [
          order,
          ...["Initialized", "Ready", "ContainersReady", "PodScheduled"].map((type) => ({ type })),
        ],
        conditions: [
          {
            type: "Ready",
            status: "False",
            reason: "Cordoned",
            message: "taken out of traffic by anna at 2026-01-01T00:00:00Z",
          },
        ],
      },
    });
  });

  // kubelet: TestUnchangedStatus
  test("after a restart of the agent, what the API gave with the pod is enough to know that nothing is to be done", async () => {
    await using rig = await setUp();
    const { server, ofApi, runs, write, manager } = rig;
    server.put({ ...ofApi, status: { phase: "Pending" } });
    runs();
    await write();
    manager.remove("uid-1");
    const given = server.pods.get("default/web");
    const other = new ApiServerSink({ http: rig.http, clock: rig.clock });
    expect(await other.write(runs(given), never)).toBe("unchanged");
    expect(server.methods()).toEqual(["PATCH"]);
  });

  test("the server's own words for the same thing are no difference", async () => {
    const views: { pod?: ApiPod | undefined } = {};
    await using rig = await setUp({ apiPod: () => views.pod });
    const { server, ofApi, manager, update, write, sink } = rig;
    const [container] = ofApi.spec.containers;
    if (container === undefined) throw new Error("no container");
    const of = {
      ...ofApi,
      spec: { ...ofApi.spec, containers: [{ ...container, resources: { requests: { cpu: "0.5" } } }] },
    };
    server.put({ ...of, status: { phase: "Pending" } });
    manager.update(of, runtime([record("a")]), options());
    server.instead.push((response, { body }) => {
      const text = JSON.stringify(body?.["status"]).replaceAll('"0.5"', '"500m"');
      const { "$setElementOrder/conditions": _order, ...made } = JSON.parse(text) as Record<string, unknown>;
      send(response, 200, server.put({ ...of, status: made as never }));
    });
    expect(await write()).toBe("written");
    views.pod = server.pods.get("default/web");
    expect(views.pod?.status?.containerStatuses?.[0]?.allocatedResources).toEqual({ cpu: "500m" });
    expect([await write(), sink.differs(update())]).toEqual(["unchanged", false]);
  });

  test("a pod of which nothing is known gets everything that the node owns, and loses what it has not", async () => {
    await using rig = await setUp();
    const { server, ofApi, manager, update, write, shown } = rig;
    server.put({
      ...ofApi,
      status: {
        phase: "Pending",
        reason: "Old",
        conditions: [
          { type: "PodResizePending", status: "True" },
          { type: "Ready", status: "False", reason: "Old", message: "old" },
          { type: "example.com/Gate", status: "False" },
        ],
      },
    });
    manager.update({ ...ofApi }, runtime([record("a")]), options());
    expect(await write(update())).toBe("written");
    expect([shown()?.phase, shown()?.reason]).toEqual(["Running", undefined]);
    expect(findCondition(shown()?.conditions, "PodResizePending")).toBe(undefined);
    expect(findCondition(shown()?.conditions, "Ready")).toEqual({
      type: "Ready",
      status: "True",
      lastTransitionTime: "2026-01-01T00:00:00Z",
    });
    expect(findCondition(shown()?.conditions, "example.com/Gate")?.status).toBe("False");
  });
});

describe("refusals", () => {
  // kubelet: TestSyncPodIgnoresNotFound
  test("404: the pod is gone; a 404 that is not the API server's says nothing", async () => {
    await using rig = await setUp();
    const { server, runs, write } = rig;
    runs();
    expect(await write()).toBe("gone");
    expect(server.methods()).toEqual(["PATCH"]);
    server.instead.push((response) => response.writeHead(404).end("<html>no such page</html>"));
    expect(await failure(write())).toMatchObject({
      kind: "retryable",
      scope: "sink",
      code: "STATUS_API_404",
    });
  });

  // kubelet: TestSyncPodChecksMismatchedUID
  test("409 for another UID: one look, no write, the successor untouched", async () => {
    await using rig = await setUp();
    const { server, ofApi, runs, write, shown } = rig;
    server.put({ ...ofApi, metadata: { ...ofApi.metadata, uid: "successor" }, status: { phase: "Pending" } });
    runs();
    expect(await write()).toBe("gone");
    expect([server.methods(), shown()?.phase]).toEqual([["PATCH", "GET"], "Pending"]);
  });

  test("409 and 410 for the same pod: the write is made anew on what is there now", async () => {
    await using rig = await setUp();
    const { server, ofApi, runs, write, shown } = rig;
    server.put({ ...ofApi, status: { phase: "Pending", podIPs: [{ ip: "10.88.0.7" }] } });
    runs();
    server.instead.push((response) => status(response, 409, "Conflict", "the object has been modified"));
    expect(await write()).toBe("written");
    expect([server.methods(), shown()?.podIPs]).toEqual([["PATCH", "GET", "PATCH"], [{ ip: "10.88.0.2" }]]);
    rig.manager.cordon("uid-1", "anna");
    for (let turn = 0; turn < 2; turn++)
      server.instead.push((response, { method }) =>
        method === "GET"
          ? send(response, 200, server.pods.get("default/web"))
          : status(response, 410, "Gone", "gone"),
      );
    server.instead.push((response) => status(response, 409, "Conflict", "again"));
    expect(await failure(write())).toMatchObject({ kind: "retryable", scope: "pod" });
  });

  test("422 because what was known was wrong: the second write fits; 422 again: refused for good", async () => {
    await using rig = await setUp();
    const { server, ofApi, manager, update, write, shown } = rig;
    // Two addresses of families that the node does not know of.
    server.put({ ...ofApi, status: { phase: "Pending", podIPs: [{ ip: "10.1.1.1" }, { ip: "fd00::1" }] } });
    manager.update(ofApi, runtime([record("a")], [sandbox("s")]), options());
    expect(await write(update())).toBe("written");
    expect([server.methods(), shown()?.podIPs]).toEqual([["PATCH", "GET", "PATCH"], [{ ip: "10.88.0.2" }]]);
    manager.cordon("uid-1", "anna");
    const invalid = (): void =>
      void server.instead.push((response) => status(response, 422, "Invalid", "status.phase: not so"));
    invalid();
    server.instead.push((response) => send(response, 200, server.pods.get("default/web")));
    invalid();
    const error = await failure(write(update()));
    expect([error.kind, error.message]).toEqual([
      "bad-input",
      "the API server answered 422: status.phase: not so",
    ]);
  });

  test("429 and 503: the whole server, and how long to stay away; 500 and 403: this pod; 400: for good", async () => {
    await using rig = await setUp();
    const { server, runs, write } = rig;
    runs();
    const answers: [number, Record<string, string>, Partial<StatusSinkError>][] = [
      [429, { "retry-after": "7" }, { kind: "retryable", scope: "sink", retryAfterMs: 7000 }],
      [
        503,
        { "retry-after": "Thu, 01 Jan 2026 00:00:30 GMT" },
        { kind: "retryable", scope: "sink", retryAfterMs: 30_000 },
      ],
      [503, { "retry-after": "soon" }, { scope: "sink", retryAfterMs: undefined }],
      [401, {}, { kind: "retryable", scope: "sink" }],
      [302, { location: "http://127.0.0.1:1/" }, { kind: "retryable", scope: "sink" }],
      [500, {}, { kind: "retryable", scope: "pod" }],
      [403, {}, { kind: "retryable", scope: "pod" }],
      [400, {}, { kind: "bad-input", scope: "pod" }],
    ];
    for (const [code, headers, wanted] of answers) {
      server.instead.push((response) => status(response, code, "Test", "for the test", headers));
      expect(await failure(write())).toMatchObject({ code: `STATUS_API_${code}`, ...wanted });
    }
  });

  test("garbage, half an answer, too much of one, another pod: each is told, and tried again", async () => {
    await using rig = await setUp();
    const { server, ofApi, runs, write } = rig;
    server.put({ ...ofApi, status: { phase: "Pending" } });
    runs();
    server.instead.push((response) => response.end("<html>login here</html>"));
    expect((await failure(write())).message).toContain("no Kubernetes object: <html>login here</html>");
    server.instead.push((response) => send(response, 200, { kind: "Pod", metadata: "none" }));
    expect((await failure(write())).kind).toBe("retryable");
    server.instead.push((response) => {
      response.writeHead(200, { "content-length": "1000" });
      response.write("{");
      response.socket?.destroy();
    });
    expect(await failure(write())).toMatchObject({ code: "STATUS_API_NO_ANSWER", scope: "pod" });
    server.instead.push((response) => response.end("x".repeat(200_000)));
    expect((await failure(write())).message).toContain("longer than 100000 bytes");
    server.instead.push((response) => response.socket?.end("this is not HTTP\r\n\r\n"));
    expect((await failure(write())).code).toBe("STATUS_API_NO_ANSWER");
    expect(await write()).toBe("written");
  });

  test("a server that hangs is left when the signal says so; one that is not there is the sink's failure", async () => {
    await using rig = await setUp();
    const { server, runs, sink, write } = rig;
    const given = new AbortController();
    server.instead.push(() => given.abort(new Error("late")));
    await expect(sink.write(runs(), given.signal)).rejects.toThrow("late");
    const half = new AbortController();
    server.instead.push((response) => {
      response.writeHead(200);
      response.write("{");
      half.abort(new Error("late"));
    });
    await expect(sink.write(rig.update(), half.signal)).rejects.toThrow("late");
    await server[Symbol.asyncDispose]();
    expect(await failure(write())).toMatchObject({
      code: "STATUS_API_NO_ANSWER",
      scope: "sink",
      kind: "retryable",
    });
  });
});

describe("the end of a pod", () => {
  const deleted = (of: ApiPod): ApiPod => ({
    ...of,
    metadata: { ...of.metadata, deletionTimestamp: "2026-01-01T00:00:00Z" },
  });

  // kubelet: TestDeletePodBeforeFinished, TestDeletePodFinished
  test("it is deleted when it has ended in the API and nothing is left of it here, not before", async () => {
    await using rig = await setUp();
    const { server, ofApi, manager, update, write, shown } = rig;
    const of = deleted(ofApi);
    server.put({ ...of, status: { phase: "Running" } });
    manager.update(of, runtime([exited("a", 0)]), options({ podIsTerminal: true }));
    expect([await write(update()), shown()?.phase]).toEqual(["written", "Succeeded"]);
    manager.terminatePod(of);
    expect(await write(update())).toBe("gone");
    expect(server.methods()).toEqual(["PATCH", "DELETE"]);
    expect(server.seen[1]?.body).toMatchObject({ gracePeriodSeconds: 0, preconditions: { uid: "uid-1" } });
    expect(server.pods.size).toBe(0);
  });

  test("a delete that fails is tried again without another patch; one for a successor is none", async () => {
    await using rig = await setUp();
    const { server, ofApi, manager, update, write } = rig;
    const of = deleted(ofApi);
    const put = server.put({ ...of, status: { phase: "Running" } });
    manager.terminatePod(of);
    server.instead.push(
      (response, { body }) => send(response, 200, { ...put, status: body?.["status"] }),
      (response) => status(response, 500, "InternalError", "etcd"),
    );
    expect((await failure(write(update()))).code).toBe("STATUS_API_500");
    server.instead.push((response) => status(response, 409, "Conflict", "UID"));
    expect(await write(update())).toBe("gone");
    expect(server.methods()).toEqual(["PATCH", "DELETE", "DELETE"]);
  });

  // kubelet: TestDoNotDeleteMirrorPods, TestStaticPod
  test("a static pod is written to its mirror once there is one, and the mirror never deleted", async () => {
    const views: { pod?: ApiPod } = {};
    await using rig = await setUp({ apiPod: () => views.pod });
    const { server, manager, update, write, shown } = rig;
    const of = pod("Never", ["a"], [], { source: "file" });
    manager.update(of, runtime([record("a")]), options());
    expect([await write(update()), server.seen.length]).toEqual(["waiting", 0]);
    views.pod = server.put({
      ...of,
      metadata: { ...of.metadata, uid: "mirror" },
      status: { phase: "Pending" },
    });
    expect([await write(update()), shown()?.phase]).toEqual(["written", "Running"]);
    expect(server.seen[0]?.body?.["metadata"]).toEqual({ uid: "mirror" });
    manager.terminatePod(deleted(of));
    await write(update());
    expect(server.methods()).not.toContain("DELETE");
    // A new mirror: everything anew.
    views.pod = server.put({
      ...of,
      metadata: { ...of.metadata, uid: "mirror-2" },
      status: { phase: "Pending" },
    });
    expect([await write(update()), shown()?.podIP]).toEqual(["written", "10.88.0.2"]);
  });

  test.each<[boolean, PodPhase]>([
    [true, "Running"],
    [false, "Failed"],
  ])("could have running containers %s: the API shows %s", async (couldHaveRunningContainers, phase) => {
    await using rig = await setUp({ couldHaveRunningContainers: () => couldHaveRunningContainers });
    const { server, ofApi, manager, update, write, shown } = rig;
    const given = server.put({ ...ofApi, status: { phase: "Running", qosClass: "BestEffort" } });
    manager.update(given, runtime([exited("a", 1)]), options());
    await write(update());
    expect([shown()?.phase, findCondition(shown()?.conditions, "Ready")?.reason]).toEqual([
      phase,
      "PodFailed",
    ]);
  });
});

describe("what somebody else changed", () => {
  // kubelet: TestReconcilePodStatus
  test("a fraction of a second or a foreign condition is no difference; a phase is; a watch that lags says nothing", async () => {
    const views: { pod?: ApiPod | undefined } = {};
    await using rig = await setUp({ apiPod: () => views.pod });
    const { server, ofApi, runs, sink, update, write } = rig;
    server.put({ ...ofApi, status: { phase: "Pending" } });
    const before = server.pods.get("default/web");
    runs();
    expect(sink.differs(update())).toBe(false);
    views.pod = before;
    expect(sink.differs(update())).toBe(true);
    await write();
    expect(sink.differs(update())).toBe(false);
    const written = server.pods.get("default/web");
    if (written?.status === undefined) throw new Error("not written");
    const conditions = [
      ...(written.status.conditions ?? []).map((one) => ({
        ...one,
        lastTransitionTime: "2026-01-01T00:00:00.5Z",
      })),
      { type: "example.com/Gate", status: "True" as const },
    ];
    views.pod = server.put({
      ...written,
      status: { ...written.status, startTime: "2026-01-01T00:00:00.123Z", conditions },
    });
    expect(sink.differs(update())).toBe(false);
    views.pod = server.put({ ...written, status: { ...written.status, phase: "Pending" } });
    expect(sink.differs(update())).toBe(true);
    expect(await write()).toBe("written");
    expect(server.seen.at(-1)?.body).toMatchObject({ status: { phase: "Running" } });
    expect(server.methods()).toEqual(["PATCH", "PATCH"]);
  });
});

test("with the sync in front: a server that answers 429, 500, garbage and nothing gets every pod's last state in the end", async () => {
  await using rig = await setUp();
  const { server, clock, manager, ofApi, sink } = rig;
  await using sync = new StatusSync({ clock, source: manager, sink, deadlineMs: 1000 });
  await sync.start();
  const uids = Array.from({ length: 12 }, (_, index) => `pod-${index}`);
  const of = (uid: string): ApiPod => ({ ...ofApi, metadata: { ...ofApi.metadata, uid, name: uid } });
  server.instead.push(
    (response) => status(response, 429, "TooManyRequests", "slow", { "retry-after": "2" }),
    (response) => status(response, 500, "InternalError", "etcd"),
    (response) => response.end("garbage"),
    () => {},
    (response) => response.socket?.destroy(),
  );
  for (const uid of uids) {
    server.put({ ...of(uid), status: { phase: "Pending" } });
    manager.update(of(uid), { ...runtime([record("a")]), uid }, options());
  }
  for (let turn = 0; !sync.isSettled() && turn < 2000; turn++) await clock.advance(50);
  expect(sync.isSettled()).toBe(true);
  for (const uid of uids) expect(server.pods.get(`default/${uid}`)?.status?.phase).toBe("Running");
  expect(server.methods()).not.toContain("GET");
  expect(server.seen.length).toBeLessThanOrEqual(12 + 5 + 8);
});
