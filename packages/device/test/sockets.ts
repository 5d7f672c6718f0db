// SPDX-License-Identifier: Apache-2.0

/** Folders for sockets, and what lives until a test is over. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach } from "vitest";

const folders: string[] = [];

const held: AsyncDisposable[] = [];

afterEach(async () => {
  for (const one of held.splice(0).toReversed()) await one[Symbol.asyncDispose]();
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true });
});

/** Lives until the test is over. */
export function hold(one: AsyncDisposable): void {
  held.push(one);
}

export async function newFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "holdfast-device-"));
  folders.push(folder);
  return folder;
}
