// SPDX-License-Identifier: Apache-2.0

// On a real containerd: HOLDFAST_TEST_CONTAINERD=unix:///… (`node scripts/containerd.mjs env` prints it).
import process from "node:process";

import { createCriClient } from "@holdfast/cri";
import { vi } from "vitest";

import { runtimeContract } from "./runtime-contract.ts";

const endpoint = process.env["HOLDFAST_TEST_CONTAINERD"] ?? "";

runtimeContract("a real containerd", () => {
  if (endpoint === "")
    throw new Error(
      'HOLDFAST_TEST_CONTAINERD is not set: node scripts/containerd.mjs up; eval "$(node scripts/containerd.mjs env)"',
    );
  const cri = createCriClient({ endpoint });
  return Promise.resolve({
    cri,
    close: () => cri.close(),
    pass: <Answer>(call: Promise<Answer>) => call,
    waitUntil: (done: () => Promise<boolean>) =>
      vi.waitFor(
        async () => {
          if (!(await done())) throw new Error("it never came");
        },
        { timeout: 30_000 },
      ),
  });
});
