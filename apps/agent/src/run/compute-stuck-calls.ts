// SPDX-License-Identifier: Apache-2.0

/** Pure: which calls of pods' workers hang, in words. The PLEG tells of its own. */
import { formatDuration } from "@holdfast/core/duration";

/** A call in flight, as the CRI client gives it. */
export interface RunningCall {
  readonly method: string;
  readonly target: string;
  readonly ageMs: number;
}

/** Whose an id is. */
export interface CallSubject {
  /** `namespace/name`. */
  readonly pod: string;
  /** "" for a sandbox. */
  readonly container: string;
  /** The pod's grace: a stop may take that long. */
  readonly graceSeconds: number;
}

/** A call older than this no longer holds a place either. DESIGN.md, Calls. */
const STUCK_MS = 10_000;
const WATCHED: ReadonlySet<string> = new Set([
  "RunPodSandbox",
  "StopPodSandbox",
  "RemovePodSandbox",
  "CreateContainer",
  "StartContainer",
  "StopContainer",
  "RemoveContainer",
  "ImageStatus",
]);
const MAX_NAMED = 20;

/** One line for each, the oldest first; of many only the first are named. */
export function computeStuckCalls(
  calls: readonly RunningCall[],
  whoIs: (id: string) => CallSubject | undefined,
): readonly string[] {
  const stuck = calls
    .filter(({ method }) => WATCHED.has(method))
    .map((call) => ({ ...call, subject: whoIs(idOf(call)) }))
    .filter(({ method, ageMs, subject }) => {
      const allowed = method === "StopContainer" ? (subject?.graceSeconds ?? 0) * 1000 : 0;
      return ageMs >= STUCK_MS + allowed;
    })
    .toSorted((a, b) => b.ageMs - a.ageMs);
  const lines = stuck.slice(0, MAX_NAMED).map(({ method, target, ageMs, subject }) => {
    const age = formatDuration(Math.round(ageMs / 1000) * 1000);
    if (subject === undefined) return `${method} of ${target} has not answered for ${age}`;
    const what = subject.container === "" ? method : `${method} of container "${subject.container}"`;
    return `pod ${subject.pod}: ${what} (${target}) has not answered for ${age}`;
  });
  const more = stuck.length - lines.length;
  return more > 0 ? [...lines, `${more} more calls have not answered`] : lines;
}

/** A create names the new container and the sandbox that it is for: `main in ID`. */
function idOf({ target }: RunningCall): string {
  return target.slice(target.lastIndexOf(" ") + 1);
}
