// SPDX-License-Identifier: Apache-2.0
import { CriError } from "@holdfast/cri";
import { expect, test } from "vitest";
import { execError } from "../src/run/exec-error.ts";

const call = { method: "ExecSync", target: "0123abc", deadlineMs: 1000, endpoint: "unix:///x" };

test.each([
  [
    'failed to exec in container: failed to start exec "8b23": OCI runtime exec failed: exec failed: unable to start container process: exec: "nosuch": executable file not found in $PATH: unknown',
    'the command could not be run in container c of pod p: exec: "nosuch": executable file not found in $PATH',
  ],
  [
    "failed to exec in container: timeout 5s exceeded: context deadline exceeded",
    "the command did not end within 5 s in container c of pod p and was ended",
  ],
  [
    "nothing answers at unix:///x",
    "the command could not be run in container c of pod p: ExecSync of 0123abc: nothing answers at unix:///x",
  ],
])("%.40s is told by the container's name", (text, expected) => {
  const error = execError(new CriError("CRI_UNKNOWN", call, text), "container c of pod p", 5);
  expect(error.message).toBe(expected);
});
