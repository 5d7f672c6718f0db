// SPDX-License-Identifier: Apache-2.0

import { defineEvent } from "@holdfast/bus";
import type { EventType } from "@holdfast/bus";

/** Readiness of the runtime or of its network changed. Read `RuntimeState` again. */
export const RuntimeReadinessChanged: EventType<
  { readonly runtime: string | undefined; readonly network: string | undefined },
  "node/RuntimeReadinessChanged"
> = defineEvent<{ readonly runtime: string | undefined; readonly network: string | undefined }>()(
  "node/RuntimeReadinessChanged",
);
