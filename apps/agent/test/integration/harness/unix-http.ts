// SPDX-License-Identifier: Apache-2.0

import { request } from "node:http";

/** One GET over a unix socket: status and body. */
export function getOverSocket(
  socketPath: string,
  path: string,
  timeoutMs = 10_000,
): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const call = request({ socketPath, path, timeout: timeoutMs, agent: false }, (answer) => {
      const chunks: Buffer[] = [];
      answer.on("data", (chunk: Buffer) => chunks.push(chunk));
      answer.on("end", () =>
        resolve({ status: answer.statusCode ?? 0, body: Buffer.concat(chunks).toString("utf8") }),
      );
      answer.on("error", reject);
    });
    call.on("timeout", () => call.destroy(new Error(`GET ${path}: no answer in ${timeoutMs} ms`)));
    call.on("error", reject);
    call.end();
  });
}

/** A GET whose answer is JSON; any status but 200 is an error. */
export async function getJson<T>(socketPath: string, path: string): Promise<T> {
  const { status, body } = await getOverSocket(socketPath, path);
  if (status !== 200) throw new Error(`GET ${path}: ${status} ${body}`);
  return JSON.parse(body) as T;
}
