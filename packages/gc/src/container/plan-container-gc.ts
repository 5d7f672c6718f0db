// SPDX-License-Identifier: Apache-2.0

/** Pure: which dead containers, sandboxes and log folders go, and why each goes or stays. kubelet: containerGC.evictContainers, evictSandboxes, evictPodLogsDirectories. */
import { formatAge } from "@holdfast/core/duration";
import { formatBytes } from "../format-bytes.ts";
import type {
  ContainerGcEntry,
  ContainerGcFacts,
  ContainerGcPlan,
  ContainerRule,
  GcContainer,
} from "./container-gc-facts.ts";
import type { ContainerGcPolicy } from "./container-gc-policy.ts";
import { planLogFolders } from "./plan-log-folders.ts";
import { planSandboxGc } from "./plan-sandbox-gc.ts";

/** Dead ones of one name in one pod, newest first. */
type Group = readonly GcContainer[];

/** See the top of the file. */
export function planContainerGc(facts: ContainerGcFacts, policy: ContainerGcPolicy): ContainerGcPlan {
  const draft = new Draft(facts);
  let groups = deadGroups(facts, policy, draft);
  groups = takeGone(groups, facts, draft);
  groups = takeOverLimits(groups, policy, draft);
  takeOverListBytes(groups, policy, draft);
  const containers = draft.entries();
  const isLeft = (id: string): boolean => !draft.isTaken(id);
  const sandboxes = planSandboxGc(facts, isLeft);
  return {
    containers,
    sandboxes,
    logFolders: planLogFolders(facts, isLeft, sandboxes),
    listBytes: draft.listBytes,
    listBytesAfter: draft.listBytesLeft,
  };
}

/** Groups of what may go at all. The newest of a name that was only just created is about to be started: it counts, but stays. */
function deadGroups({ containers, now }: ContainerGcFacts, policy: ContainerGcPolicy, draft: Draft): Group[] {
  const groups = new Map<string, GcContainer[]>();
  const newest = new Map<string, GcContainer>();
  for (const container of containers) {
    const key = `${container.podUid}/${container.name}`;
    const best = newest.get(key);
    if (best === undefined || byAge(best, container) < 0) newest.set(key, container);
    if (container.state === "running") {
      draft.keep(container, "running", "it runs");
      continue;
    }
    const ageMs = now - container.createdAt;
    if (ageMs < policy.minAgeMs) {
      draft.keep(
        container,
        "too-young",
        `created ${formatAge(ageMs)} ago, stays for ${formatAge(policy.minAgeMs)}`,
      );
      continue;
    }
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [container]);
    else group.push(container);
  }
  for (const container of newest.values())
    if (container.state === "created")
      draft.protect(container, "starting", "created, and about to be started");
  for (const group of groups.values()) group.sort((a, b) => byAge(b, a));
  return [...groups.values()];
}

/** Older first. */
function byAge(a: GcContainer, b: GcContainer): number {
  return a.createdAt - b.createdAt || a.attempt - b.attempt || (a.id < b.id ? -1 : 1);
}

function takeGone(groups: Group[], facts: ContainerGcFacts, draft: Draft): Group[] {
  if (!facts.allSourcesReady) return groups;
  return groups.filter((group) => {
    const uid = group[0]?.podUid ?? "";
    const gone = facts.isGone(uid);
    if (!gone && !(facts.evictTerminated && facts.isTerminated(uid))) return true;
    for (const container of group.toReversed())
      if (gone) draft.takeProtected(container, "pod-gone", "its pod is gone");
      else draft.take(container, "pod-terminated", "its pod has ended, and the disk is under pressure");
    return false;
  });
}

function takeOverLimits(groups: Group[], policy: ContainerGcPolicy, draft: Draft): Group[] {
  const { maxPerPodContainer, maxContainers } = policy;
  const trim = (all: Group[], limit: number, rule: ContainerRule, reason: string): Group[] =>
    all.map((group) => {
      for (const container of group.slice(limit).toReversed()) draft.take(container, rule, reason);
      return group.slice(0, limit);
    });
  let left = groups;
  if (maxPerPodContainer >= 0)
    left = trim(
      left,
      maxPerPodContainer,
      "per-container-limit",
      `older than the ${maxPerPodContainer} dead that are kept of its name`,
    );
  if (maxContainers < 0) return left;
  const count = (): number => left.reduce((sum, group) => sum + group.length, 0);
  const reason = `more than ${maxContainers} dead on the node`;
  if (count() > maxContainers)
    left = trim(
      left,
      Math.max(1, Math.floor(maxContainers / Math.max(left.length, 1))),
      "node-limit",
      reason,
    );
  const over = count() - maxContainers;
  if (over <= 0) return left;
  const oldest = new Set(left.flat().sort(byAge).slice(0, over));
  for (const container of oldest) draft.take(container, "node-limit", reason);
  return left.map((group) => group.filter((container) => !oldest.has(container)));
}

/** Before a list no longer fits into an answer: the oldest first, at first none that is the last of its name. */
function takeOverListBytes(groups: Group[], { maxListBytes }: ContainerGcPolicy, draft: Draft): void {
  if (maxListBytes < 0 || draft.listBytesLeft <= maxListBytes) return;
  const reason = `the list of containers is more than ${formatBytes(maxListBytes)}`;
  const older = groups.flatMap((group) => group.slice(1)).sort(byAge);
  const last = groups.flatMap((group) => group.slice(0, 1)).sort(byAge);
  for (const container of [...older, ...last]) {
    if (draft.listBytesLeft <= maxListBytes) return;
    draft.take(container, "list-bytes", reason);
  }
}

/** Collects what goes; what is not named stays. */
class Draft {
  readonly #facts: ContainerGcFacts;
  readonly #taken = new Map<string, ContainerGcEntry<GcContainer>>();
  readonly #kept = new Map<string, ContainerGcEntry<GcContainer>>();
  readonly #protected = new Set<string>();
  readonly listBytes: number;
  listBytesLeft: number;

  constructor(facts: ContainerGcFacts) {
    this.#facts = facts;
    this.listBytes = facts.containers.reduce((sum, { listBytes }) => sum + listBytes, 0);
    this.listBytesLeft = this.listBytes;
  }

  isTaken(id: string): boolean {
    return this.#taken.has(id);
  }

  keep(thing: GcContainer, rule: ContainerRule, reason: string): void {
    this.#kept.set(thing.id, { thing, verdict: "keep", rule, reason });
  }

  protect(thing: GcContainer, rule: ContainerRule, reason: string): void {
    this.#protected.add(thing.id);
    this.keep(thing, rule, reason);
  }

  take(thing: GcContainer, rule: ContainerRule, reason: string): void {
    if (!this.#protected.has(thing.id)) this.takeProtected(thing, rule, reason);
  }

  takeProtected(thing: GcContainer, rule: ContainerRule, reason: string): void {
    if (this.#taken.has(thing.id)) return;
    this.#taken.set(thing.id, { thing, verdict: "remove", rule, reason });
    this.listBytesLeft -= thing.listBytes;
  }

  entries(): readonly ContainerGcEntry<GcContainer>[] {
    const rest = this.#facts.containers
      .filter(({ id }) => !this.#taken.has(id))
      .map(
        (thing) =>
          this.#kept.get(thing.id) ?? ({ thing, verdict: "keep", rule: "kept", reason: WITHIN } as const),
      );
    return [...this.#taken.values(), ...rest];
  }
}

const WITHIN = "within the limits";
