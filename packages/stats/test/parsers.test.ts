// SPDX-License-Identifier: Apache-2.0

import { HoldfastError } from "@holdfast/core/errors";
import { computeFilesystemFigures, parsePressure } from "@holdfast/stats";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { countAfter, parseCount, parseLimit } from "../src/parse/parse-count.ts";
import { parseBlkio, parseIoStat } from "../src/parse/parse-io.ts";
import { parseDefaultInterface, parseNetDev } from "../src/parse/parse-net-dev.ts";
import { parseBootTime, parseFirstPid, parseMemInfo, parseRunningTasks } from "../src/parse/parse-proc.ts";
import { computeUsageNanoCores, UsageRates } from "../src/usage-rate.ts";
import { DISK } from "./fixtures.ts";

test.each([
  ["0\n", 0],
  ["42", 42],
  [" 7 \n", 7],
  ["18446744073709551615\n", 2 ** 64],
])("a count %j is %d", (text, value) => {
  expect(parseCount(text, "f")).toBe(value);
});

test.each(["", "max", "-1", "1.5", "1e3", "0x10", "1 2", "184467440737095516150"])(
  "a count %j is refused",
  (text) => {
    expect(() => parseCount(text, "/some/file")).toThrow(/\/some\/file has an unexpected form/);
  },
);

test("a limit is a number or max", () => {
  expect(parseLimit("max\n", "f")).toBeUndefined();
  expect(parseLimit("4096\n", "f")).toBe(4096);
});

test("a key counts only at the beginning of a line and as a whole word", () => {
  const text = "inactive_file 1\ntotal_inactive_file 2\nfile 3\nfile_mapped 4";
  expect(countAfter(text, "inactive_file", "f")).toBe(1);
  expect(countAfter(text, "total_inactive_file", "f")).toBe(2);
  expect(countAfter(text, "file", "f")).toBe(3);
  expect(countAfter(text, "mapped", "f")).toBeUndefined();
  expect(() => countAfter("file x\n", "file", "f")).toThrow(HoldfastError);
});

test("property: of any table of keys each one is found", () => {
  const key = fc.stringMatching(/^[a-z_]{1,12}$/);
  const table = fc.uniqueArray(fc.tuple(key, fc.maxSafeNat()), { selector: ([name]) => name, minLength: 1 });
  fc.assert(
    fc.property(table, (rows) => {
      const text = rows.map(([name, value]) => `${name} ${value}`).join("\n");
      for (const [name, value] of rows) expect(countAfter(text, name, "f")).toBe(value);
    }),
  );
});

describe("pressure", () => {
  test("both lines; microseconds become nanoseconds", () => {
    expect(
      parsePressure(
        "some avg10=1.50 avg60=0.70 avg300=0.10 total=2000\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=1\n",
        "f",
      ),
    ).toEqual({
      some: { avg10: 1.5, avg60: 0.7, avg300: 0.1, total: 2_000_000 },
      full: { avg10: 0, avg60: 0, avg300: 0, total: 1000 },
    });
  });

  test("the CPU of an older kernel has no full line", () => {
    expect(parsePressure("some avg10=0.00 avg60=0.00 avg300=0.00 total=5\n", "f").full.total).toBe(0);
  });

  test.each(["", "some\n", "full avg10=0.00 avg60=0.00 avg300=0.00 total=5\n", "some avg10=a total=1"])(
    "%j is refused",
    (text) => {
      expect(() => parsePressure(text, "f")).toThrow(HoldfastError);
    },
  );
});

const HEAD = "Inter-|\n face |\n";

describe("interfaces", () => {
  test("the loopback is left out; a name may have a colon; old kernels leave no room after it", () => {
    const line = (name: string): string => `${name}:10 1 2 0 0 0 0 0 20 1 3 0 0 0 0 0\n`;
    expect(parseNetDev(`${HEAD}${line("    lo")}${line("  eth0")}${line("eth0:1")}`, "f")).toEqual([
      { name: "eth0", rxBytes: 10, rxErrors: 2, txBytes: 20, txErrors: 3 },
      { name: "eth0:1", rxBytes: 10, rxErrors: 2, txBytes: 20, txErrors: 3 },
    ]);
  });

  test("a short line is refused", () => {
    expect(() => parseNetDev(`${HEAD}eth0: 1 2 3\n`, "f")).toThrow(HoldfastError);
  });

  test("no default route, no main interface", () => {
    expect(parseDefaultInterface("Iface\tDestination\n")).toBeUndefined();
    expect(
      parseDefaultInterface(
        "h\neth1\t0000000A\t0\t1\t0\t0\t0\t000000FF\neth0\t00000000\t0\t3\t0\t0\t0\t00000000\t0\n",
      ),
    ).toBe("eth0");
  });
});

test("I/O of v2 sums all devices, and a device may have no figures", () => {
  expect(
    parseIoStat("8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=9 dios=9\n7:1 \n8:16 rbytes=10\n", "f"),
  ).toEqual({
    readBytes: 11,
    writeBytes: 2,
    readOperations: 3,
    writeOperations: 4,
  });
  expect(parseIoStat("", "f").readBytes).toBe(0);
});

test("I/O of v1 has a line for each kind", () => {
  expect(parseBlkio("8:0 Read 5\n8:0 Write 6\n8:0 Total 11\n8:16 Read 1\nTotal 12\n", "f")).toEqual({
    read: 6,
    write: 6,
  });
  expect(parseBlkio("Total 0\n", "f")).toEqual({ read: 0, write: 0 });
});

test("files of /proc", () => {
  expect(parseMemInfo("MemTotal:  2 kB\nSwapTotal:  4 kB\nSwapFree:  1 kB\n")).toEqual({
    totalBytes: 2048,
    swapTotalBytes: 4096,
    swapFreeBytes: 1024,
  });
  expect(parseRunningTasks("0.57 1.13 1.47 1/313 20858\n")).toBe(313);
  expect(parseBootTime("cpu 1\nbtime 1763698092\n")).toBe(1_763_698_092);
  expect(parseFirstPid("12\n13\n")).toBe(12);
  // A process of another pid namespace is 0.
  expect(parseFirstPid("0\n0\n")).toBeUndefined();
  expect(parseFirstPid("")).toBeUndefined();
});

const PARSERS: readonly (readonly [string, (text: string) => unknown])[] = [
  ["parseCount", (text) => parseCount(text, "f")],
  ["parseLimit", (text) => parseLimit(text, "f")],
  ["countAfter", (text) => countAfter(text, "file", "f")],
  ["parsePressure", (text) => parsePressure(text, "f")],
  ["parseNetDev", (text) => parseNetDev(text, "f")],
  ["parseDefaultInterface", parseDefaultInterface],
  ["parseIoStat", (text) => parseIoStat(text, "f")],
  ["parseBlkio", (text) => parseBlkio(text, "f")],
  ["parseMemInfo", (text) => parseMemInfo(text)],
  ["parseRunningTasks", (text) => parseRunningTasks(text)],
  ["parseBootTime", (text) => parseBootTime(text)],
  ["parseFirstPid", parseFirstPid],
];

// Pieces of real files, so that the garbage gets past the first check.
const PIECES = [
  ..."0123456789 \n\t:=.-",
  ..."some |full |avg10=0.00|total=|eth0: 1 2 3|8:0 |Read |Total |rbytes=|file |MemTotal: |btime |1/313 |max|\u0000|é".split(
    "|",
  ),
  HEAD,
];
const garbage = fc.oneof(
  fc.string({ unit: "binary", maxLength: 200 }),
  fc.array(fc.constantFrom(...PIECES), { maxLength: 60 }).map((pieces) => pieces.join("")),
);

test.each(PARSERS)("property: %s answers garbage with a named error or with sane numbers", (_name, parse) => {
  fc.assert(
    fc.property(garbage, (text) => {
      try {
        expect(hasOnlySaneNumbers(parse(text))).toBe(true);
      } catch (error) {
        if (!HoldfastError.is(error)) throw error;
        expect(error.code).toBe("STATS_FORMAT");
      }
    }),
    { numRuns: 300 },
  );
});

function hasOnlySaneNumbers(value: unknown): boolean {
  if (typeof value === "number") return Number.isFinite(value) && value >= 0;
  if (typeof value === "object" && value !== null) return Object.values(value).every(hasOnlySaneNumbers);
  return true;
}

describe("file systems that cannot be believed", () => {
  test.each([
    ["a capacity of 0", { blocks: 0, blocksFree: 0, blocksAvailable: 0 }, /its capacity is 0/],
    ["more available than there is", { blocksAvailable: 1001 }, /1001 of 1000 blocks are free/],
    ["more free than there is", { blocksFree: 2000 }, /2000 of 1000 blocks/],
    ["more free inodes than there are", { inodesFree: 101 }, /101 of 100 inodes/],
    ["a negative number", { blocksAvailable: -1 }, /-1/],
    ["no number", { blocks: Number.NaN }, /NaN/],
  ])("%s", (_what, changes, message) => {
    expect(() => computeFilesystemFigures({ ...DISK, ...changes }, "/x")).toThrow(message);
  });

  test("property: what is believed adds up", () => {
    const field = fc.oneof(fc.nat(2000), fc.constantFrom(-1, 0, Number.NaN, Number.POSITIVE_INFINITY));
    const raw = fc.record({
      blockBytes: field,
      blocks: field,
      blocksFree: field,
      blocksAvailable: field,
      inodes: field,
      inodesFree: field,
      device: fc.nat(),
    });
    fc.assert(
      fc.property(raw, (one) => {
        try {
          const { capacityBytes, availableBytes, usedBytes, inodes } = computeFilesystemFigures(one, "/x");
          expect(capacityBytes).toBeGreaterThan(0);
          expect(availableBytes).toBeLessThanOrEqual(capacityBytes);
          expect(usedBytes).toBeLessThanOrEqual(capacityBytes);
          if (inodes !== undefined) expect(inodes.free + inodes.used).toBe(inodes.total);
        } catch (error) {
          if (!HoldfastError.is(error)) throw error;
          expect(error.code).toBe("STATS_FILESYSTEM");
        }
      }),
    );
  });

  test("without a table of inodes there are no figures of them", () => {
    expect(computeFilesystemFigures({ ...DISK, inodes: 0, inodesFree: 0 }, "/x").inodes).toBeUndefined();
  });
});

// kubelet: TestGetContainerUsageNanoCores
describe("rates", () => {
  test.each([
    ["nothing before", undefined, 10, undefined],
    ["the same count", { at: 0, nanos: 10 }, 10, 0],
    ["a counter that was reset", { at: 0, nanos: 100 }, 10, undefined],
    ["half a core", { at: 0, nanos: 0 }, 500_000_000, 500_000_000],
    ["large counters", { at: 0, nanos: 1e18 }, 1e18 + 2e9, 2_000_000_000],
  ])("%s", (_what, earlier, nanos, rate) => {
    expect(computeUsageNanoCores(earlier, { at: 1000, nanos })).toBe(rate);
  });

  test("asked again at once the rate stays, and the window is not shortened", () => {
    const rates = new UsageRates();
    expect(rates.update("c", 0, 0)).toBeUndefined();
    expect(rates.update("c", 1_000_000_000, 1000)).toBe(1_000_000_000);
    expect(rates.update("c", 1_000_000_000, 1100)).toBe(1_000_000_000);
    expect(rates.update("c", 1_000_000_000, 2000)).toBe(0);
  });

  test("after ten minutes what was read before is forgotten", () => {
    const rates = new UsageRates();
    rates.update("gone", 1, 0);
    rates.update("c", 1, 1);
    expect(rates.update("c", 2, 600_002)).toBeUndefined();
    rates.prune(600_002);
    expect(rates.size).toBe(1);
  });
});
