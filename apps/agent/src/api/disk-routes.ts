// SPDX-License-Identifier: Apache-2.0

/** Who holds the disks, looked at when asked for. */
import { HoldfastError } from "@holdfast/core/errors";
import type { DiskLedger, DiskLedgerView } from "@holdfast/gc";
import type { ApiAnswer, ApiRequest } from "./server.ts";

/** What `/api/v1/disk` answers. */
export type DiskAnswer = DiskLedgerView;

/** The ledger, at most 30 s old; `fresh=true` looks anew. */
export async function diskAnswer(
  ledger: Pick<DiskLedger, "read"> | undefined,
  request: ApiRequest,
): Promise<ApiAnswer> {
  if (ledger === undefined)
    throw new HoldfastError("AGENT_NOT_READY", "retryable", "the container runtime has not answered yet");
  const fresh = request.query.get("fresh") === "true";
  return { json: (await ledger.read(fresh ? { maxAgeMs: 0 } : {})) satisfies DiskAnswer };
}
