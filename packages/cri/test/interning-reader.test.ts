// SPDX-License-Identifier: Apache-2.0

import { BinaryReader, BinaryWriter } from "@bufbuild/protobuf/wire";
import { ContainerStatus, InterningReader, ListContainersResponse, StringTable } from "@holdfast/cri";
import fc from "fast-check";
import { describe, expect, it } from "vitest";

const text = fc.oneof(
  fc.string({ unit: "binary", maxLength: 200 }),
  fc.constantFrom("", "default", "io.kubernetes.pod.uid", "x".repeat(96), "x".repeat(97), "é", "\uFEFFbom"),
);

const container = fc.record({
  id: text,
  labels: fc.dictionary(text, text, { maxKeys: 5 }),
  image: fc.record({ image: text }),
  createdAt: fc.bigInt({ min: 0n, max: 2n ** 63n - 1n }),
});

describe("the interning reader", () => {
  it("reads what the plain reader reads, whatever it has read before", () => {
    fc.assert(
      fc.property(
        fc.array(container, { maxLength: 8 }),
        fc.integer({ min: 1, max: 20 }),
        (containers, capacity) => {
          const bytes = Buffer.from(
            ListContainersResponse.encode(ListContainersResponse.create({ containers })).finish(),
          );
          const plain = ListContainersResponse.decode(bytes);
          const table = new StringTable(capacity);
          for (let round = 0; round < 2; round++)
            expect(ListContainersResponse.decode(new InterningReader(bytes, table))).toEqual(plain);
          expect(table.size).toBeLessThanOrEqual(2 * capacity);
        },
      ),
    );
  });

  it("does with broken input what the plain reader does", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (input) => {
        const bytes = Buffer.from(input);
        expect(outcome(() => ContainerStatus.decode(new InterningReader(bytes, new StringTable(4))))).toEqual(
          outcome(() => ContainerStatus.decode(new BinaryReader(bytes))),
        );
      }),
      { numRuns: 1000 },
    );
  });

  it("reads invalid UTF-8 as the plain reader does", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 120 }), (raw) => {
        const bytes = Buffer.from(new BinaryWriter().bytes(raw).finish());
        expect(new InterningReader(bytes, new StringTable(4)).string()).toBe(
          new BinaryReader(bytes).string(),
        );
      }),
    );
  });

  it("stays within its bound, and keeps what is used again", () => {
    const table = new StringTable(16);
    const read = (value: string): string => {
      const bytes = Buffer.from(new BinaryWriter().string(value).finish());
      return new InterningReader(bytes, table).string();
    };
    for (let index = 0; index < 10_000; index++) {
      expect(read(`churn-${index}`)).toBe(`churn-${index}`);
      expect(read("kept")).toBe("kept");
      expect(table.size).toBeLessThanOrEqual(32);
    }
  });

  it("lets go of what is not used any more, also when it never fills up", () => {
    const table = new StringTable(100);
    const read = (value: string): string => table.get(value.length, Buffer.from(value), 0, value.length);
    for (let length = 1; length <= 50; length++) read("x".repeat(length));
    expect(table.size).toBe(50);
    for (let round = 0; round < 5000; round++) read("kept");
    expect(table.size).toBeLessThanOrEqual(2);
  });

  it("tells apart strings of one hash", () => {
    const table = new StringTable(4);
    expect(table.get(7, Buffer.from("aa"), 0, 2)).toBe("aa");
    expect(table.get(7, Buffer.from("bb"), 0, 2)).toBe("bb");
    expect(table.get(7, Buffer.from("aa"), 0, 2)).toBe("aa");
    expect(table.size).toBe(1);
  });
});

function outcome<Value>(work: () => Value): { value: Value } | { failed: true } {
  try {
    return { value: work() };
  } catch {
    return { failed: true };
  }
}
