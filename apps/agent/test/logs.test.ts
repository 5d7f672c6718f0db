// SPDX-License-Identifier: Apache-2.0
import { appendFileSync, mkdtempSync, rmSync, writeFileSync, renameSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "@holdfast/core/node";
import { parseCriLogLine } from "../src/logs/parse-cri-log.ts";
import { readLog } from "../src/logs/read-log.ts";
import type { ReadLogOptions } from "../src/logs/read-log.ts";
import { afterEach, beforeEach, expect, test } from "vitest";

let dir: string;
let path: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "holdfast-log-"));
  path = join(dir, "0.log");
});
afterEach(() => rmSync(dir, { recursive: true }));

const record = (second: number, text: string, tag = "F"): string =>
  `2026-01-01T00:00:0${second}.000000000Z stdout ${tag} ${text}\n`;
async function read(options: Partial<ReadLogOptions> = {}): Promise<string> {
  let text = "";
  const base = {
    path,
    clock: systemClock,
    follow: false,
    timestamps: false,
    signal: new AbortController().signal,
    stillWriting: () => false,
  };
  for await (const chunk of readLog({ ...base, ...options })) text += chunk.toString();
  return text;
}

// kubelet: TestParseLog
test.each([
  [
    "2016-10-20T18:39:20.57606443Z stdout F log entry",
    { stream: "stdout", partial: false, content: "log entry" },
  ],
  ["2016-10-20T18:39:20.57606443Z stderr P part", { stream: "stderr", partial: true, content: "part" }],
  [
    "2016-10-20T18:39:20.57606443Z stdout F:x tagged",
    { stream: "stdout", partial: false, content: "tagged" },
  ],
  ["2016-10-20T18:39:20.57606443Z stdout F", { stream: "stdout", partial: false, content: "" }],
])("%j parses", (text, expected) => {
  const line = parseCriLogLine(Buffer.from(text));
  expect(line && { stream: line.stream, partial: line.partial, content: line.content.toString() }).toEqual(
    expected,
  );
});
test.each(["", "no record", "yesterday stdout F x", "2016-10-20T18:39:20Z stdlog F x"])(
  "%j is no record",
  (text) => expect(parseCriLogLine(Buffer.from(text))).toBeUndefined(),
);

test("the whole log, its last lines, lines since a time, with timestamps", async () => {
  writeFileSync(path, record(1, "a") + record(2, "b") + record(3, "c"));
  expect(await read()).toBe("a\nb\nc\n");
  expect(await read({ tailLines: 2 })).toBe("b\nc\n");
  expect(await read({ tailLines: 0 })).toBe("");
  expect(await read({ tailLines: 99 })).toBe("a\nb\nc\n");
  expect(await read({ sinceMs: Date.parse("2026-01-01T00:00:02Z") })).toBe("b\nc\n");
  expect(await read({ tailLines: 1, timestamps: true })).toBe("2026-01-01T00:00:03.000000000Z c\n");
});

test("partial records are put together and count as one line", async () => {
  writeFileSync(path, record(1, "a") + record(2, "long ", "P") + record(2, "line") + record(3, "c"));
  expect(await read()).toBe("a\nlong line\nc\n");
  expect(await read({ tailLines: 2 })).toBe("long line\nc\n");
});

test("a large log is read in bounded pieces, from the end where only that is wanted", async () => {
  const lines = Array.from({ length: 20_000 }, (_, index) => record(1, `line ${index}`));
  writeFileSync(path, lines.join(""));
  expect(await read({ tailLines: 3 })).toBe("line 19997\nline 19998\nline 19999\n");
  expect((await read()).length).toBe(
    lines.map((line) => line.length - record(1, "").length + 1).reduce((a, b) => a + b, 0),
  );
});

test("a followed log goes on until its container cannot write any more", async () => {
  writeFileSync(path, record(1, "a"));
  let writing = true;
  let seen = "";
  for await (const chunk of readLog({
    path,
    clock: systemClock,
    follow: true,
    timestamps: false,
    signal: new AbortController().signal,
    stillWriting: () => writing,
  })) {
    seen += chunk.toString();
    if (seen === "a\n") {
      writing = false;
      appendFileSync(path, record(2, "b"));
    }
  }
  expect(seen).toContain("a\n");
});

test("a followed log is followed over a rotation, and nothing between is lost", async () => {
  writeFileSync(path, record(1, "a"));
  let writing = true;
  let seen = "";
  for await (const chunk of readLog({
    path,
    clock: systemClock,
    follow: true,
    timestamps: false,
    signal: new AbortController().signal,
    stillWriting: () => writing,
  })) {
    seen += chunk.toString();
    if (seen === "a\n") {
      // As the kubelet and containerd do it: the old file is written to until the new one is there.
      renameSync(path, `${path}.20261121-080000`);
      appendFileSync(`${path}.20261121-080000`, record(2, "b"));
      writeFileSync(path, record(3, "c"));
    }
    if (seen.includes("c\n")) writing = false;
  }
  expect(seen).toBe("a\nb\nc\n");
});

test("a reader that goes away ends the following", async () => {
  writeFileSync(path, record(1, "a"));
  const controller = new AbortController();
  let seen = "";
  for await (const chunk of readLog({
    path,
    clock: systemClock,
    follow: true,
    timestamps: false,
    signal: controller.signal,
    stillWriting: () => true,
  })) {
    seen += chunk.toString();
    controller.abort();
  }
  expect(seen).toBe("a\n");
});
