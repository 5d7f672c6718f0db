// SPDX-License-Identifier: Apache-2.0
//
// SPDY/3.1's header blocks: name-value pairs, compressed by one zlib stream per direction and connection, with a dictionary that the
// specification gives (draft-mbelshe-httpbis-spdy-00, 2.6.10.1).

import { constants, createDeflate, createInflate } from "node:zlib";
import type { Deflate, Inflate } from "node:zlib";

const SIZE = 4;
const WORDS =
  "options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow authorization " +
  "cache-control connection content-base content-encoding content-language content-length content-location content-md5 content-range " +
  "content-type date etag expect expires from host if-match if-modified-since if-none-match if-range if-unmodified-since last-modified " +
  "location max-forwards pragma proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding " +
  "upgrade user-agent vary via warning www-authenticate method get status 200_OK version HTTP/1.1 url public set-cookie keep-alive origin";
const REST =
  "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505203 Non-Authoritative Information" +
  "204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden404 Not Found500 Internal Server Error" +
  "501 Not Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, " +
  "Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,text/javascript,public" +
  "privatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.";
/** The whole dictionary: words with their lengths before them, then plain text. */
const DICTIONARY = Buffer.concat([
  ...WORDS.split(" ").map((word) => prefixed(word.replace("_", " "))),
  Buffer.from(REST),
]);

const MAX_PAIRS = 256;

function prefixed(text: string): Buffer {
  const bytes = Buffer.from(text);
  const length = Buffer.alloc(SIZE);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

/** One direction's worth of compressed blocks, in order. */
export class HeaderReader {
  readonly #inflate: Inflate = createInflate({ dictionary: DICTIONARY });

  constructor() {
    // Told by the write's own callback.
    this.#inflate.on("error", () => {});
  }

  /** Rejects on what is not compressed so. */
  async read(block: Buffer): Promise<ReadonlyMap<string, string>> {
    await new Promise<void>((resolve, reject) =>
      this.#inflate.write(block, (error) => (error ? reject(error) : resolve())),
    );
    return parsePairs((this.#inflate.read() as Buffer | null) ?? Buffer.alloc(0));
  }

  close(): void {
    this.#inflate.destroy();
  }
}

/** The other direction. */
export class HeaderWriter {
  readonly #deflate: Deflate = createDeflate({ dictionary: DICTIONARY });

  async write(pairs: ReadonlyMap<string, string>): Promise<Buffer> {
    const count = Buffer.alloc(SIZE);
    count.writeUInt32BE(pairs.size);
    const plain = Buffer.concat([
      count,
      ...[...pairs].flatMap(([name, value]) => [prefixed(name), prefixed(value)]),
    ]);
    this.#deflate.write(plain);
    await new Promise<void>((resolve) => this.#deflate.flush(constants.Z_SYNC_FLUSH, resolve));
    return (this.#deflate.read() as Buffer | null) ?? Buffer.alloc(0);
  }

  close(): void {
    this.#deflate.destroy();
  }
}

/** Several values of one name are divided by a NUL; the first counts here. Throws a `RangeError` on a block that is cut off. */
function parsePairs(plain: Buffer): ReadonlyMap<string, string> {
  let at = 0;
  const size = (): number => {
    const value = plain.readUInt32BE(at);
    at += SIZE;
    return value;
  };
  const text = (): string => {
    const length = size();
    if (at + length > plain.length) throw new RangeError("a header block is cut off");
    at += length;
    return plain.toString("utf8", at - length, at);
  };
  const pairs = new Map<string, string>();
  const count = size();
  if (count > MAX_PAIRS) throw new RangeError("a header block has too many pairs");
  for (let left = count; left > 0; left--) pairs.set(text().toLowerCase(), text().split("\0")[0] ?? "");
  return pairs;
}
