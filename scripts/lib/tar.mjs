// SPDX-License-Identifier: Apache-2.0
/* A tar writer (POSIX ustar) whose output depends on its input alone: no times, owner 0:0, entries in the given order. */

const BLOCK = 512;

/**
 * @param {{ path: string, type?: "file" | "dir" | "symlink", mode?: number, data?: Buffer | string, target?: string, uid?: number, gid?: number }[]} entries
 *   paths of at most 100 bytes
 * @returns {Buffer}
 */
export function tar(entries) {
  const parts = [];
  for (const entry of entries) {
    const data = Buffer.from(entry.data ?? "");
    parts.push(header(entry, data.length), data, Buffer.alloc((BLOCK - (data.length % BLOCK)) % BLOCK));
  }
  parts.push(Buffer.alloc(2 * BLOCK));
  return Buffer.concat(parts);
}

const TYPE = { file: "0", symlink: "2", dir: "5" };

function header(
  { path, type = "file", mode = type === "file" ? 0o644 : 0o755, target = "", uid = 0, gid = 0 },
  size,
) {
  const block = Buffer.alloc(BLOCK);
  const name = type === "dir" ? `${path}/` : path;
  if (Buffer.byteLength(name) > 100 || Buffer.byteLength(target) > 100)
    throw new Error(`tar: path too long: ${name}`);
  const octal = (value, at, length) =>
    block.write(`${value.toString(8).padStart(length - 1, "0")}\0`, at, "latin1");
  block.write(name, 0);
  octal(mode, 100, 8);
  octal(uid, 108, 8);
  octal(gid, 116, 8);
  octal(size, 124, 12);
  octal(0, 136, 12);
  block.write(TYPE[type], 156, "latin1");
  block.write(target, 157);
  block.write("ustar\u000000", 257, "latin1");
  // The checksum counts its own field as spaces.
  block.fill(" ", 148, 156);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return block;
}
