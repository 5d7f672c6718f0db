// SPDX-License-Identifier: Apache-2.0

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ManualClock } from "@holdfast/core/manual-clock";
import {
  buildHttpRequest,
  buildProbeRequest,
  eventOf,
  expandProbeCommand,
  HttpResponseReader,
  parseProbeTimings,
  PlaceGate,
  resolvePort,
  resolveProbe,
  timingFor,
  TimerHeap,
  verdictOf,
} from "@holdfast/probe";
import type { ProbeOutcome, TimerEntry } from "@holdfast/probe";
import { candidateNames, hostsFileAddresses, parseResolverSettings } from "../src/host-names.ts";
import {
  commandSessions,
  countLeftBehind,
  isInContainer,
  leftInSessions,
  parseProcStat,
} from "../src/proc-stat.ts";
import { firstLine } from "../src/outcome.ts";
import { requestTarget } from "../src/http-request.ts";
import { http, podOf } from "./environment.ts";

// kubelet: TestResolveContainerPort
test.each([
  [80, 80],
  ["web", 8080],
  ["81", 81],
  [0, "invalid port number: 0"],
  [65_536, "invalid port number: 65536"],
  ["-1", "invalid port number: -1"],
  ["nope", 'port "nope" is neither a port name of container app nor a number'],
])("port %s is %s", (port, expected) => {
  expect(resolvePort(port, { name: "app", ports: [{ name: "web", containerPort: 8080 }] })).toBe(expected);
});

test("a command's references", () => {
  const env = [
    { name: "A", value: "1" },
    { name: "EMPTY", value: "" },
    { name: "F", valueFrom: { fieldRef: { fieldPath: "x" } } },
  ];
  expect(expandProbeCommand(["$(A)$(EMPTY)$(F)$(NO)", "$$(A)", "$A", "$(A", "a$"], env)).toEqual([
    "1$(F)$(NO)",
    "$(A)",
    "$A",
    "$(A",
    "a$",
  ]);
});

describe("a probe's numbers", () => {
  test("have the API's defaults", () => {
    expect(resolveProbe(http())).toMatchObject({
      initialDelayMs: 0,
      timeoutMs: 1000,
      periodMs: 10_000,
      unreadyPeriodMs: 10_000,
      successThreshold: 1,
      failureThreshold: 3,
    });
    expect(resolveProbe(http({ timeoutSeconds: 0, failureThreshold: 0 }))).toMatchObject({
      timeoutMs: 1000,
      failureThreshold: 3,
    });
  });

  const timing = (text: string) =>
    parseProbeTimings(
      podOf(
        {},
        {
          metadata: { annotations: { "holdfast.agent/liveness-probe-timing": text } },
          spec: {
            containers: [
              { name: "a", image: "" },
              { name: "b", image: "" },
            ],
          },
        },
      ),
      "liveness",
    );

  test("may be in milliseconds, for all containers or for one", () => {
    const timings = timing("period=250ms,timeout=100ms ; b: period=1m, initialDelay=0");
    expect(timings.problem).toBeUndefined();
    expect(timingFor(timings, "a")).toEqual({ periodMs: 250, timeoutMs: 100 });
    expect(timingFor(timings, "b")).toEqual({ periodMs: 60_000, initialDelayMs: 0 });
    expect(parseProbeTimings(podOf({}), "liveness").byContainer.size).toBe(0);
  });

  test.each([
    ["period", "period: "],
    ["periods=1s", '"periods" is none of period, unreadyPeriod, timeout, initialDelay'],
    ["timeout=49ms", "timeout: 49ms is not between 50ms and 24h"],
    ["initialDelay=25h", "initialDelay: 25h is not between 0ms and 24h"],
    ["period=soon", '"soon" is no duration'],
    ["a: period=1s; c: period=1s", 'there is no container "c"'],
  ])("%s is refused", (text, problem) => {
    const timings = timing(text);
    expect(timings.problem).toContain("annotation holdfast.agent/liveness-probe-timing: ");
    expect(timings.problem).toContain(problem);
    expect(timings.byContainer.size).toBe(0);
  });
});

// kubelet: TestProbe
describe("outcomes", () => {
  const error = { why: "body", text: "EOF" } as const;
  test.each<[ProbeOutcome, string | undefined, string | undefined]>([
    [{ result: "success", output: "" }, "success", undefined],
    [{ result: "warning", output: "hm" }, "success", "Readiness probe warning: hm"],
    [{ result: "failure", output: "no" }, "failure", "Readiness probe failed: no"],
    [{ result: "unknown", output: "" }, "failure", undefined],
    [
      { result: "unknown", output: "", error },
      undefined,
      "Readiness probe errored and resulted in unknown state: EOF",
    ],
    [
      { result: "failure", output: "", error },
      undefined,
      "Readiness probe errored and resulted in failure state: EOF",
    ],
  ])("%o", (outcome, verdict, message) => {
    expect([verdictOf(outcome), eventOf("readiness", outcome)?.message]).toEqual([verdict, message]);
  });

  test("a probe without a handler is an error", () => {
    const facts = {
      container: { name: "app", image: "" },
      spec: resolveProbe({}),
      containerId: "c",
      podIp: "1.2.3.4",
      userAgent: "x",
    };
    expect(buildProbeRequest(facts)).toMatchObject({
      handler: "none",
      outcome: { error: { why: "handler", text: "missing probe handler for container app" } },
    });
  });

  test("of an output one line is kept", () => {
    expect(firstLine("one\ntwo")).toBe("one");
    expect(firstLine("x".repeat(300))).toBe(`${"x".repeat(256)}…`);
    expect(firstLine("\r\n")).toBe("");
  });
});

// kubelet: TestGetURLParts, TestHTTPProbeChecker (headers)
describe("an HTTP request", () => {
  test.each([
    ["", "/"],
    ["/", "/"],
    ["healthz", "/healthz"],
    ["/a?b=c&d=e#f", "/a?b=c&d=e"],
    ["/a b/ü", "/a%20b/%C3%BC"],
    ["/a%20b", "/a%20b"],
    ["/bad%zz?x=1", "/bad%25zz%3Fx=1"],
    ["?only", "/?only"],
  ])("path %s is asked as %s", (path, target) => expect(requestTarget(path)).toBe(target));

  const text = (httpHeaders: { name: string; value: string }[], host = "10.0.0.1"): string => {
    const request = buildHttpRequest({ port: 80, httpHeaders }, host, 80);
    return typeof request === "string" ? request : request.text;
  };
  const lines = (...given: string[]): string => `${given.join("\r\n")}\r\n\r\n`;

  test("has these headers by itself", () => {
    expect(text([])).toBe(
      lines(
        "GET / HTTP/1.1",
        "Host: 10.0.0.1:80",
        "User-Agent: kube-probe/1.36",
        "Accept: */*",
        "Connection: close",
      ),
    );
    expect(text([], "fd00::1")).toContain("Host: [fd00::1]:80\r\n");
  });

  test("has others as told: in their usual spelling, repeated ones both, empty ones not", () => {
    const given = [
      { name: "x-a", value: "1" },
      { name: "X-A", value: "2" },
      { name: "user-agent", value: "" },
      { name: "ACCEPT", value: "" },
      { name: "host", value: "example.com" },
      { name: "content-length", value: "7" },
    ];
    expect(text(given)).toBe(
      lines("GET / HTTP/1.1", "Host: example.com", "X-A: 1", "X-A: 2", "Connection: close"),
    );
  });

  test("cannot be smuggled into another", () => {
    expect(text([{ name: "x-a", value: "1\r\nX-B: 2" }])).toBe(
      'Get "http://10.0.0.1:80/": net/http: invalid header field value for "X-A"',
    );
    expect(text([{ name: "x a", value: "1" }])).toBe(
      'Get "http://10.0.0.1:80/": net/http: invalid header field name "x a"',
    );
    expect(requestTarget("/a\r\nHost: b")).toBe("/a%0D%0AHost:%20b");
  });
});

describe("an HTTP response", () => {
  const read = (chunks: readonly Buffer[]) => {
    const reader = new HttpResponseReader();
    for (const chunk of chunks) reader.push(chunk);
    reader.end();
    const { status, location, problem, done } = reader;
    return { status, location, problem, done, body: reader.body() };
  };

  test("is the same however it is cut", () => {
    const responses = fc.constantFrom(
      "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 302 Found\r\nLOCATION:  /x \r\n\r\nbye",
      "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n1\r\n!\r\n0\r\nT: 1\r\n\r\n",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nx",
      "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel",
      "HTTP/1.0 500 Oh\n\nno",
    );
    fc.assert(
      fc.property(responses, fc.array(fc.nat(120), { maxLength: 8 }), (text, cuts) => {
        const whole = Buffer.from(text);
        const places = [0, ...cuts.map((cut) => cut % whole.length).sort((a, b) => a - b), whole.length];
        const parts = places.slice(1).map((end, at) => Buffer.from(whole.subarray(places[at], end)));
        expect(read(parts)).toEqual(read([whole]));
      }),
    );
  });

  test("breaks nothing, whatever it is", () => {
    const starts = fc.constantFrom(
      "",
      "HTTP/1.1 200 OK\r\n\r\n",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    );
    fc.assert(
      fc.property(starts, fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 6 }), (start, chunks) => {
        const result = read([Buffer.from(start), ...chunks.map((chunk) => Buffer.from(chunk))]);
        expect(result.done || result.problem !== undefined).toBe(true);
      }),
    );
  });
});

describe("the timer heap", () => {
  test("fires everything in order, and nothing that was disarmed", async () => {
    const command = fc.record({ at: fc.nat(500), entry: fc.nat(9), arm: fc.boolean() });
    await fc.assert(
      fc.asyncProperty(fc.array(command, { maxLength: 60 }), async (commands) => {
        const clock = new ManualClock();
        const heap = new TimerHeap(clock);
        const fired: number[] = [];
        const entries = Array.from({ length: 10 }, (): TimerEntry => {
          const entry: TimerEntry = { dueAt: 0, heapIndex: -1, onDue: () => void fired.push(entry.dueAt) };
          return entry;
        });
        const expected = new Map<number, number>();
        for (const { at, entry, arm } of commands) {
          const chosen = entries[entry];
          if (chosen === undefined) continue;
          if (arm) heap.arm(chosen, at, 1);
          else heap.disarm(chosen);
          if (arm) expected.set(entry, at);
          else expected.delete(entry);
        }
        await clock.advance(501);
        expect(fired).toEqual([...expected.values()].sort((a, b) => a - b));
        expect([heap.size, clock.waiting]).toEqual([0, 0]);
      }),
      { numRuns: 30 },
    );
  });

  test("one clock timer serves all, rounded up to the grain", async () => {
    const clock = new ManualClock();
    const heap = new TimerHeap(clock);
    const fired: number[] = [];
    for (let at = 1; at <= 100; at++)
      heap.arm({ dueAt: 0, heapIndex: -1, onDue: () => void fired.push(clock.monotonic()) }, at, 50);
    expect(clock.waiting).toBe(1);
    await clock.advance(100);
    expect(new Set(fired)).toEqual(new Set([50, 100]));
  });
});

test("places: a pod that has all of its own is passed over, and each place is given back once", () => {
  const command = fc.record({ pod: fc.constantFrom("a", "b", "c"), take: fc.boolean(), pick: fc.nat(20) });
  fc.assert(
    fc.property(fc.array(command, { maxLength: 80 }), (commands) => {
      const gate = new PlaceGate(3, 2);
      const held: string[] = [];
      let waiting = 0;
      for (const { pod, take, pick } of commands) {
        if (take) {
          const holder = { placeKey: pod, onPlace: () => void (held.push(pod), (waiting -= 1)) };
          if (gate.take(holder)) held.push(pod);
          else waiting += 1;
        } else if (held.length > 0) {
          const [released] = held.splice(pick % held.length, 1);
          gate.release(released ?? "");
        }
        expect([gate.held, gate.waiting]).toEqual([held.length, waiting]);
        expect(gate.held).toBeLessThanOrEqual(3);
        for (const name of ["a", "b", "c"])
          expect(held.filter((one) => one === name).length).toBeLessThanOrEqual(2);
      }
    }),
  );
});

describe("names of hosts", () => {
  const hosts = "127.0.0.1 localhost\n::1 localhost ip6 # x\n10.0.0.7\tDB db.local # 10.0.0.8 no\n";
  test.each([
    ["localhost", ["127.0.0.1", "::1"]],
    ["db", ["10.0.0.7"]],
    ["DB.local.", ["10.0.0.7"]],
    ["no", []],
    ["x.localhost", ["127.0.0.1"]],
  ])("%s", (name, addresses) => expect(hostsFileAddresses(hosts, name)).toEqual(addresses));

  test("the search list goes before names with few dots", () => {
    const settings = parseResolverSettings("nameserver 1.1.1.1\nsearch a.b c.d\noptions ndots:2 timeout:1\n");
    expect(settings).toEqual({ search: ["a.b", "c.d"], ndots: 2 });
    expect(candidateNames("x.y", settings)).toEqual(["x.y.a.b", "x.y.c.d", "x.y"]);
    expect(candidateNames("x.y.z", settings)).toEqual(["x.y.z", "x.y.z.a.b", "x.y.z.c.d"]);
    expect(candidateNames("x.", settings)).toEqual(["x"]);
    expect(parseResolverSettings("")).toEqual({ search: [], ndots: 1 });
  });
});

describe("processes that a command left behind", () => {
  const line = (pid: number, session: number, ticks: number): string =>
    `${pid} (a) b) S 1 ${pid} ${session} 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 ${ticks} 1 1\n`;
  const stats = (...lines: string[]) => lines.map(parseProcStat).filter((stat) => stat !== undefined);

  test("are read from /proc", () => {
    expect(parseProcStat(line(7, 5, 123))).toEqual({
      pid: 7,
      parent: 1,
      session: 5,
      startedMs: 1230,
    });
    expect(parseProcStat("")).toBeUndefined();
    // Ended, and nobody has buried it.
    expect(parseProcStat(line(7, 5, 123).replace(" S ", " Z "))).toBeUndefined();
    expect([
      isInContainer("0::/kubepods/podx/abc", "abc"),
      isInContainer("0::/cri-containerd-abc.scope", "abc"),
    ]).toEqual([true, true]);
    expect([isInContainer("0::/", "abc"), isInContainer("", "")]).toEqual([false, false]);
  });

  test("are young, and their session has lost its leader", () => {
    const init = line(10, 10, 100);
    const worker = line(11, 10, 900);
    const command = line(20, 20, 900);
    const child = line(21, 20, 901);
    const oldDaemon = line(30, 29, 500);
    expect(countLeftBehind(stats(init, worker, command, child, oldDaemon), 8000)).toBe(0);
    expect(countLeftBehind(stats(init, worker, child, oldDaemon), 8000)).toBe(1);
  });

  // 500 is outside of the container, 10 its first process.
  const called = (pid: number, words: readonly string[], more: object = {}) => ({
    pid,
    parent: 500,
    session: pid,
    startedMs: 9000,
    words,
    ...more,
  });
  test.each<[string, readonly string[], readonly string[], object, boolean]>([
    ["as it was called", ["check", "-v"], ["check", "-v"], {}, true],
    ["found on the path", ["check"], ["/usr/bin/check"], {}, true],
    ["a script behind its interpreter", ["/check.sh", "x"], ["/bin/sh", "-e", "/check.sh", "x"], {}, true],
    ["a shell", ["sh", "-c", "a & b"], ["sh", "-c", "a & b"], {}, true],
    ["a shell that became its last command", ["sh", "-c", "a & sleep 9 "], ["sleep", "9"], {}, true],
    ["another command of the same program", ["check", "-v"], ["check", "-w"], {}, false],
    ["the end of another word", ["sh", "-c", "asleep 9"], ["sleep", "9"], {}, false],
    ["a hook of the same time", ["check"], ["sh", "-c", "daemon &"], {}, false],
    ["what runs for long", ["check"], ["check"], { startedMs: 100 }, false],
    ["a program of the container's own", ["check"], ["check"], { parent: 10 }, false],
    ["one that leads no session", ["check"], ["check"], { session: 10 }, false],
    ["no words: the kernel's, or gone", ["check"], [], {}, false],
  ])("a command is known by its words, its age and its parent: %s", (_name, command, words, more, isIt) => {
    const first = called(10, ["app"], { startedMs: 100 });
    const sessions = commandSessions([first, called(20, words, more)], command, 8000);
    expect(sessions).toEqual(isIt ? [20] : []);
  });

  test("only what is left in its session is ended, and only without it", () => {
    const init = called(10, []);
    const child = called(21, [], { session: 20, parent: 10 });
    const daemon = called(31, [], { session: 30, parent: 10 });
    expect(leftInSessions([init, child, daemon], [20]).map(({ pid }) => pid)).toEqual([21]);
    expect(leftInSessions([init, called(20, []), child], [20])).toEqual([]);
    expect(leftInSessions([init, child], [])).toEqual([]);
  });
});
