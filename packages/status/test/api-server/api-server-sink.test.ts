// SPDX-License-Identifier: Apache-2.0
import type { PodPhase } from "@holdfast/core/pod-types";
import { ApiServerSink, findCondition, StatusSync } from "@holdfast/status";
import type { ApiPod } from "@holdfast/status";
import { describe, expect, test } from "vitest";
import { exited, options, pod, record, runtime } from "../builders.ts";
import { apiRig, failure } from "./api-rig.ts";
import { send, status } from "./fake-api-server.ts";

const never = new AbortController().signal;

describe("writing", () => {
  test("one PATCH and no read; the pod's UID goes along; what others wrote stays; the same again is no call", async () => {
    await using rig = await apiRig();
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
    await using rig = await apiRig();
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
    await using rig = await apiRig();
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
    await using rig = await apiRig({ apiPod: () => views.pod });
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
    await using rig = await apiRig();
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

describe("the end of a pod", () => {
  const deleted = (of: ApiPod): ApiPod => ({
    ...of,
    metadata: { ...of.metadata, deletionTimestamp: "2026-01-01T00:00:00Z" },
  });

  // kubelet: TestDeletePodBeforeFinished, TestDeletePodFinished
  test("it is deleted when it has ended in the API and nothing is left of it here, not before", async () => {
    await using rig = await apiRig();
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
    await using rig = await apiRig();
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
    await using rig = await apiRig({ apiPod: () => views.pod });
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
    await using rig = await apiRig({ couldHaveRunningContainers: () => couldHaveRunningContainers });
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
    await using rig = await apiRig({ apiPod: () => views.pod });
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
  await using rig = await apiRig();
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
