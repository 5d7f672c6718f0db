// SPDX-License-Identifier: Apache-2.0

// The little of HTTP/2 that a gRPC probe speaks, against nghttp2 (in Node's server), the examples of RFC 7541, and noise.
import { createServer as createHttp2Server } from "node:http2";
import { connect } from "node:net";
import type { AddressInfo } from "node:net";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { encodeCall, encodeFrame, FLAG, FRAME } from "../src/http2/frames.ts";
import { decodeHuffman, HpackReader } from "../src/http2/hpack.ts";
import { UnaryAnswer } from "../src/http2/unary-answer.ts";

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(" ", ""), "hex");
const quiet = (): UnaryAnswer => new UnaryAnswer(4096, () => {});
const SETTINGS = encodeFrame(FRAME.settings, 0, 0, new Uint8Array(0));
const headers = (flags: number, block: Buffer): Buffer => encodeFrame(FRAME.headers, flags, 1, block);
/** `:status: 200`. */
const OK = Buffer.from([0x88]);

/** Everything that Node's server says to one call whose path is `path`, byte by byte. */
async function bytesOf(port: number, path: string): Promise<{ answer: UnaryAnswer; bytes: Buffer }> {
  const chunks: Buffer[] = [];
  const socket = connect(port, "127.0.0.1");
  const answer = new UnaryAnswer(4096, (bytes) => socket.write(bytes));
  const message = Buffer.from([0, 0, 0, 0, 0]);
  socket.write(encodeCall({ authority: "a", path, headers: { "user-agent": "x".repeat(300) }, message }));
  for await (const chunk of socket) {
    chunks.push(chunk as Buffer);
    answer.push(chunk as Buffer);
    if (answer.state !== "open") break;
  }
  return { answer, bytes: Buffer.concat(chunks) };
}

async function withServer(values: readonly string[], work: (port: number) => Promise<void>): Promise<void> {
  const server = createHttp2Server();
  server.on("sessionError", () => {});
  server.on("stream", (stream, asked) => {
    stream.on("error", () => {});
    const value = values[Number(String(asked[":path"]).slice(1))] ?? "";
    stream.respond(
      { ":status": 200, "content-type": "application/grpc", "x-value": value },
      { waitForTrailers: true },
    );
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0", "grpc-message": value }));
    stream.end(Buffer.from([0, 0, 0, 0, 2, 8, 1]));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    await work((server.address() as AddressInfo).port);
  } finally {
    server.close();
  }
}

describe("an answer of nghttp2", () => {
  const printable = Array.from({ length: 95 }, (_, index) => String.fromCharCode(32 + index));
  // Each symbol among short ones, so that the whole is shorter in Huffman's code than without it.
  const values = [
    ...printable.map((symbol) => `aaaaaaaaaa${symbol}aaaaaaaaaa`),
    "",
    "application/grpc+proto",
  ];

  test("says what was said, with every symbol that a header has", async () => {
    await withServer(values, async (port) => {
      for (const [index, value] of values.entries()) {
        const { answer } = await bytesOf(port, `/${index}`);
        expect(answer.state).toBe("answered");
        expect(Object.fromEntries(answer.fields)).toMatchObject({
          ":status": "200",
          "content-type": "application/grpc",
          "x-value": value,
          "grpc-status": "0",
          "grpc-message": value,
        });
        expect([...answer.body()]).toEqual([0, 0, 0, 0, 2, 8, 1]);
      }
    });
  });

  test("is the same however it is cut", async () => {
    await withServer(["a value"], async (port) => {
      const { answer: whole, bytes } = await bytesOf(port, "/0");
      fc.assert(
        fc.property(fc.array(fc.nat(bytes.length), { maxLength: 9 }), (cuts) => {
          const places = [0, ...cuts.sort((a, b) => a - b), bytes.length];
          const answer = quiet();
          for (const [at, end] of places.slice(1).entries()) {
            const part = Buffer.from(bytes.subarray(places[at], end));
            answer.push(part);
            // As a socket's buffer is used again.
            part.fill(0xff);
          }
          expect([answer.state, answer.fields, answer.body()]).toEqual([
            "answered",
            whole.fields,
            whole.body(),
          ]);
        }),
      );
    });
  });
});

describe("the header code", () => {
  test("RFC 7541, C.6: two responses, the second from the dynamic table", () => {
    const reader = new HpackReader();
    const fields = new Map<string, string>();
    const first = hex(
      "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
    );
    expect(reader.read(first, fields)).toBe(true);
    expect(fields.get(":status")).toBe("302");
    expect(reader.read(hex("4883 640e ff c1 c0 bf"), fields)).toBe(true);
    expect(fields.get(":status")).toBe("307");
  });

  test("RFC 7541, C.4.1: a name in Huffman's code", () => {
    const bytes = hex("f1e3 c2e5 f23a 6ba0 ab90 f4ff");
    expect(decodeHuffman(bytes, 0, bytes.length)).toBe("www.example.com");
  });

  test.each([
    ["an index that is nobody's", "ff 01"],
    ["index 0", "80"],
    ["a string longer than its block", "00 05 61"],
    ["a number without an end", "ff ff ff ff ff ff"],
    ["a whole byte of padding", "00 81 ff 01 61"],
  ])("%s cannot be read", (_name, bytes) => {
    expect(new HpackReader().read(hex(bytes), new Map())).toBe(false);
  });
});

describe("what is no answer", () => {
  const after = (...frames: Buffer[]): UnaryAnswer => {
    const answer = quiet();
    answer.push(Buffer.concat([SETTINGS, ...frames]));
    return answer;
  };
  const word = (...values: number[]): Buffer => {
    const bytes = Buffer.alloc(values.length * 4);
    for (const [at, value] of values.entries()) bytes.writeUInt32BE(value, at * 4);
    return bytes;
  };

  test.each<[string, Buffer, number, RegExp]>([
    ["a refused stream", encodeFrame(FRAME.resetStream, 0, 1, word(7)), 14, /RST_STREAM .*REFUSED_STREAM/],
    ["a cancelled one", encodeFrame(FRAME.resetStream, 0, 1, word(8)), 1, /CANCEL/],
    ["a server that goes", encodeFrame(FRAME.goAway, 0, 0, word(0, 11)), 14, /GOAWAY ENHANCE_YOUR_CALM/],
    ["a broken block", headers(FLAG.endHeaders, hex("80")), 13, /cannot be read/],
    ["a block that is interrupted", Buffer.concat([headers(0, OK), SETTINGS]), 13, /does not end/],
    ["too much padding", encodeFrame(FRAME.data, FLAG.padded, 1, hex("09 00")), 13, /cannot be read/],
    ["a frame that is too long", hex("ffffff 00 00 00000001"), 13, /too large/],
  ])("%s", (_name, frame, code, text) => {
    const { state, problem } = after(frame);
    expect([state, problem?.code]).toEqual(["broken", code]);
    expect(problem?.text).toMatch(text);
  });

  test("whatever comes first must be settings", () => {
    for (const first of [
      "HTTP/1.1 400 Bad Request\r\n\r\n",
      "SSH-2.0-x\r\n......",
      "\0\0\0\x04\x01\0\0\0\0",
    ]) {
      const answer = quiet();
      answer.push(Buffer.from(first, "latin1"));
      expect([answer.isHttp2, answer.state === "answered"]).toEqual([false, false]);
    }
  });

  test("a server that goes after our call still answers it; padding, priority and continuations are read over", () => {
    const rest = Buffer.concat([Buffer.from([0x40, 11]), Buffer.from("grpc-status"), Buffer.from([1, 0x30])]);
    const answer = after(
      encodeFrame(FRAME.goAway, 0, 0, word(1, 0)),
      headers(FLAG.padded | FLAG.priority | FLAG.endStream, hex("02 0000000000 88 0000")),
      encodeFrame(FRAME.continuation, 0, 1, rest.subarray(0, 4)),
      encodeFrame(FRAME.continuation, FLAG.endHeaders, 1, rest.subarray(4)),
    );
    expect([answer.state, answer.fields]).toEqual([
      "answered",
      new Map([
        [":status", "200"],
        ["grpc-status", "0"],
      ]),
    ]);
  });

  test("pings are answered, with what they carry", () => {
    const said: Buffer[] = [];
    const answer = new UnaryAnswer(10, (bytes) => said.push(bytes));
    answer.push(Buffer.concat([SETTINGS, encodeFrame(FRAME.ping, 0, 0, Buffer.from("12345678"))]));
    expect(said.map((bytes) => bytes.toString("latin1"))).toEqual([
      "\0\0\0\x04\x01\0\0\0\0",
      "\0\0\x08\x06\x01\0\0\0\x0012345678",
    ]);
  });

  test("a body without an end is cut", () => {
    const answer = new UnaryAnswer(10, () => {});
    answer.push(Buffer.concat([SETTINGS, encodeFrame(FRAME.data, 0, 1, Buffer.alloc(11))]));
    expect([answer.state, answer.bodyBytes, answer.body().length]).toEqual(["answered", 11, 0]);
  });

  test("noise breaks nothing", () => {
    const frame = fc
      .tuple(fc.constantFrom(0, 1, 3, 4, 6, 7, 9, 20), fc.nat(255), fc.uint8Array({ maxLength: 40 }))
      .map(([type, flags, payload]) => encodeFrame(type, flags, 1, payload));
    fc.assert(
      fc.property(fc.array(frame, { maxLength: 8 }), fc.uint8Array({ maxLength: 30 }), (frames, tail) => {
        const answer = after(...frames, Buffer.from(tail));
        expect(["open", "answered", "broken"]).toContain(answer.state);
        expect(answer.state === "broken").toBe(answer.problem !== undefined);
      }),
      { numRuns: 500 },
    );
  });
});
