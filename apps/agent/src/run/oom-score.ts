// SPDX-License-Identifier: Apache-2.0

import { writeFileSync } from "node:fs";
import { errorText } from "@holdfast/core/errors";
import type { Logger } from "@holdfast/core/log";

/** Sets the agent's own oom_score_adj. A kernel that refuses (no CAP_SYS_RESOURCE) is a warning. kubelet: oomScoreAdj. */
export function applyOomScoreAdj(value: number, logger: Logger): void {
  try {
    writeFileSync("/proc/self/oom_score_adj", String(value));
  } catch (error) {
    logger.warn("the kernel refused the agent's oom_score_adj", {
      oomScoreAdj: value,
      err: errorText(error),
    });
  }
}
