// SPDX-License-Identifier: Apache-2.0
/*
 * `node run.mjs SOCKET [COMMAND]`: runs COMMAND (or standard input) in the emulated machine and exits with its status. The other end is
 * rootfs/usr/local/sbin/vm-runner. A request is a line "NONCE LENGTH" and LENGTH bytes; the answer is the output, then a line "NONCE STATUS".
 */
import { randomBytes } from "node:crypto";
import { connect } from "node:net";
import { text } from "node:stream/consumers";

const [path, command] = process.argv.slice(2);
const body = Buffer.from(command ?? (await text(process.stdin)));
const nonce = randomBytes(8).toString("hex");
const end = new RegExp(`\\n${nonce} (\\d+)\\n$`);

/** qemu makes the socket at its start; the machine's end opens its port later, and what is sent before waits in between. */
const socket = connect(path);
let held = "";
socket.on("connect", () => {
  socket.write(`${nonce} ${body.length}\n`);
  socket.write(body);
});
socket.setEncoding("utf8");
socket.on("data", (chunk) => {
  held += chunk;
  const status = end.exec(held)?.[1];
  if (status !== undefined) {
    process.stdout.write(held.slice(0, held.length - (end.exec(held)?.[0].length ?? 0)));
    process.exitCode = Number(status);
    socket.end();
    return;
  }
  // The last line may be the beginning of the end mark.
  const cut = Math.max(0, held.length - nonce.length - 8);
  process.stdout.write(held.slice(0, cut));
  held = held.slice(cut);
});
socket.on("error", (error) => {
  process.stderr.write(`vm: ${error.message}\n`);
  process.exitCode = 255;
});
