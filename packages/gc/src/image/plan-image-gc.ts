// SPDX-License-Identifier: Apache-2.0

/**
 * Pure: which images go, in which order, and why each goes or stays. kubelet: imagesInEvictionOrder, freeOldImages, freeSpace.
 *
 * Times are monotonic milliseconds, on the clock of `now`; they may be negative.
 */
import { formatAge } from "@holdfast/core/duration";
import { formatBytes } from "../format-bytes.ts";
import { computeUsage } from "./compute-usage.ts";
import type { FilesystemUsageFacts } from "./compute-usage.ts";
import type { ImageGcPolicy } from "./image-gc-policy.ts";
import type {
  GcImage,
  ImageGcEntry,
  ImageGcFacts,
  ImageGcGoal,
  ImageGcPlan,
  ImageRecord,
  ImageRule,
} from "./image-gc-facts.ts";
import { findKeepRule } from "./image-keep-rules.ts";
import { LayerAccount } from "./layer-account.ts";

interface Candidate {
  readonly image: GcImage;
  readonly record: ImageRecord;
}

interface Judgement {
  readonly rule: ImageRule;
  readonly reason: string;
}

/** See the top of the file. Throws `GC_INVALID_CAPACITY` when the figures of the file system cannot be. */
export function planImageGc(
  facts: ImageGcFacts,
  policy: ImageGcPolicy,
  goal: ImageGcGoal = "thresholds",
): ImageGcPlan {
  const draft = new PlanDraft(facts);
  const candidates = sortOut(facts, policy, draft);
  const usage = facts.filesystem === undefined ? undefined : computeUsage(facts.filesystem, policy);
  if (goal === "unused") {
    takeWhile(candidates, facts, policy, draft, {
      wants: () => true,
      rule: "unused",
      why: () => "nobody uses it",
      spare: UNREACHED,
    });
    return planOf(goal, usage, draft, Number.MAX_SAFE_INTEGER, 1);
  }
  if (facts.filesystem === undefined || usage === undefined) {
    for (const candidate of candidates) draft.spare(candidate, NO_FIGURES);
    return planOf(goal, usage, draft, 0, 1);
  }
  const young = takeOld(candidates, facts, policy, draft);
  // The kubelet looks at the disk again after its age pass; a plan reckons with what that pass frees.
  const { availableBytes, capacityBytes } = facts.filesystem;
  const byAge = draft.freed;
  const countsPerByte = policy.amounts === "disk" ? draft.onDiskPerByte() : 1;
  const counted = (bytes: number): number => Math.round(bytes * countsPerByte);
  // Images that share layers, or that lie packed, can seem to free more than the disk holds.
  const left = { capacityBytes, availableBytes: Math.min(availableBytes + counted(byAge), capacityBytes) };
  const afterAge = computeUsage(left, policy);
  const wanted = afterAge.toFreeBytes;
  const full = `the image filesystem is ${afterAge.usagePercent}% full and ${formatBytes(wanted)} must go`;
  takeWhile(young, facts, policy, draft, {
    wants: () => counted(draft.freed - byAge) < wanted,
    rule: "space",
    why: () => full,
    spare: wanted > 0 ? ENOUGH_FREED : enoughSpace(afterAge, policy),
  });
  return {
    ...planOf(goal, usage, draft, wanted, countsPerByte),
    shortBytes: Math.max(wanted - counted(draft.freed - byAge), 0),
  };
}

function planOf(
  goal: ImageGcGoal,
  usage: FilesystemUsageFacts | undefined,
  draft: PlanDraft,
  wantedBytes: number,
  countsPerByte: number,
): ImageGcPlan {
  return {
    goal,
    usage,
    entries: draft.entries(),
    wantedBytes,
    wouldFreeBytes: draft.freed,
    wouldFreeOnDiskBytes: draft.freedOnDisk(),
    countsPerByte,
    shortBytes: 0,
  };
}

/** Puts aside what stays in any case; the rest comes back in the order in which it goes. kubelet: imagesInEvictionOrder. */
function sortOut(facts: ImageGcFacts, policy: ImageGcPolicy, draft: PlanDraft): readonly Candidate[] {
  const candidates: Candidate[] = [];
  for (const image of facts.images) {
    const record = facts.records.get(image.id) ?? {
      firstDetectedAt: facts.now,
      lastUsedAt: undefined,
      ours: false,
    };
    const stays = whyItStays(image, record, facts, policy);
    if (stays === undefined) candidates.push({ image, record });
    else draft.keep({ image, record }, stays);
  }
  return candidates.sort(
    (a, b) =>
      (a.record.lastUsedAt ?? -Infinity) - (b.record.lastUsedAt ?? -Infinity) ||
      a.record.firstDetectedAt - b.record.firstDetectedAt ||
      (a.image.id < b.image.id ? -1 : 1),
  );
}

function whyItStays(
  image: GcImage,
  record: ImageRecord,
  facts: ImageGcFacts,
  policy: ImageGcPolicy,
): Judgement | undefined {
  const users = facts.users.get(image.id) ?? [];
  if (users.length > 0) return { rule: "in-use", reason: usedBy(users.map(({ name }) => name)) };
  const holder = facts.held.get(image.id);
  if (holder !== undefined) return { rule: "held", reason: `about to be used by ${holder}` };
  if (facts.sandboxImages.has(image.id))
    return { rule: "sandbox-image", reason: "every pod's sandbox is made of it" };
  if (image.pinned) return { rule: "pinned", reason: "pinned in the runtime" };
  const kept = findKeepRule(image, policy.keep);
  if (kept !== undefined) return { rule: "keep-rule", reason: kept };
  if (policy.images === "ours" && !record.ours)
    return { rule: "not-ours", reason: "not pulled by this agent (images: all lets it go)" };
  if (facts.unreadableUsers > 0 && record.lastUsedAt === undefined)
    return {
      rule: "unknown-user",
      reason: `the volumes of ${facts.unreadableUsers} containers could not be read, and it may be one`,
    };
  return undefined;
}

/** The age pass; returns those that are not too old. kubelet: freeOldImages. */
function takeOld(
  candidates: readonly Candidate[],
  { now }: ImageGcFacts,
  { maxAgeMs }: ImageGcPolicy,
  draft: PlanDraft,
): readonly Candidate[] {
  if (maxAgeMs === 0) return candidates;
  return candidates.filter((candidate) => {
    const { lastUsedAt, firstDetectedAt } = candidate.record;
    const idleMs = now - (lastUsedAt ?? firstDetectedAt);
    if (idleMs <= maxAgeMs) return true;
    const reason = `nobody used it for ${formatAge(idleMs)}, more than ${formatAge(maxAgeMs)}`;
    draft.remove(candidate, { rule: "max-age", reason });
    return false;
  });
}

interface Taking {
  readonly wants: () => boolean;
  readonly rule: ImageRule;
  readonly why: () => string;
  /** For those that are not wanted any more. */
  readonly spare: Judgement;
}

/** kubelet: freeSpace. */
function takeWhile(
  candidates: readonly Candidate[],
  facts: ImageGcFacts,
  policy: ImageGcPolicy,
  draft: PlanDraft,
  taking: Taking,
): void {
  for (const candidate of candidates) {
    const { lastUsedAt, firstDetectedAt } = candidate.record;
    const ageMs = facts.now - firstDetectedAt;
    if (lastUsedAt !== undefined && lastUsedAt >= facts.now)
      draft.keep(candidate, { rule: "just-used", reason: "used a moment ago" });
    else if (ageMs < policy.minAgeMs)
      draft.keep(candidate, {
        rule: "too-young",
        reason: `first seen ${formatAge(ageMs)} ago, stays for ${formatAge(policy.minAgeMs)}`,
      });
    else if (draft.freesNothing(candidate.image))
      draft.keep(candidate, {
        rule: "frees-nothing",
        reason: "all of its layers are of images that stay, too",
      });
    else if (taking.wants())
      draft.remove(candidate, {
        rule: taking.rule,
        reason: `${idleText(candidate.record, facts.now)}; ${taking.why()}`,
      });
    else draft.spare(candidate, taking.spare);
  }
}

const NO_FIGURES: Judgement = { rule: "no-figures", reason: "the image filesystem's figures are not known" };
const ENOUGH_FREED: Judgement = { rule: "enough-freed", reason: "those before it free enough" };
const UNREACHED: Judgement = { rule: "enough-freed", reason: "not reached" };

function enoughSpace({ usagePercent }: FilesystemUsageFacts, policy: ImageGcPolicy): Judgement {
  return {
    rule: "enough-space",
    reason: `the image filesystem is ${usagePercent}% full, less than ${policy.highThresholdPercent}%`,
  };
}

function idleText({ lastUsedAt, firstDetectedAt }: ImageRecord, now: number): string {
  return lastUsedAt === undefined
    ? `never used since it was first seen ${formatAge(now - firstDetectedAt)} ago`
    : `last used ${formatAge(now - lastUsedAt)} ago`;
}

/** As many names as a line holds. */
const MAX_NAMES = 3;

function usedBy(names: readonly string[]): string {
  const more = names.length - MAX_NAMES;
  return `used by ${names.slice(0, MAX_NAMES).join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
}

/** Collects the lines of a plan. */
class PlanDraft {
  readonly #facts: ImageGcFacts;
  readonly #account: LayerAccount;
  readonly #going: ImageGcEntry[] = [];
  readonly #spare: ImageGcEntry[] = [];
  readonly #kept: ImageGcEntry[] = [];
  /** Layers of images that were put aside before the first candidate was asked for. */
  #staying: ReadonlySet<string> | undefined;
  freed = 0;

  constructor(facts: ImageGcFacts) {
    this.#facts = facts;
    this.#account = new LayerAccount(facts.images, facts.layers);
  }

  remove(candidate: Candidate, judgement: Judgement): void {
    const freesBytes = this.#account.remove(candidate.image);
    this.freed += freesBytes;
    this.#going.push(this.#entry(candidate, judgement, { verdict: "remove", candidate: true, freesBytes }));
  }

  spare(candidate: Candidate, judgement: Judgement): void {
    const freesBytes = this.#account.frees(candidate.image);
    this.#spare.push(this.#entry(candidate, judgement, { verdict: "keep", candidate: true, freesBytes }));
  }

  keep(candidate: Candidate, judgement: Judgement): void {
    this.#kept.push(this.#entry(candidate, judgement, { verdict: "keep", candidate: false, freesBytes: 0 }));
  }

  /** Also when everything that may go is gone: what it has, images have that stay in any case. */
  freesNothing({ id }: GcImage): boolean {
    const { layers } = this.#facts;
    const own = layers?.get(id) ?? [];
    if (own.length === 0) return false;
    this.#staying ??= new Set(
      this.#kept.flatMap(({ image }) => (layers?.get(image.id) ?? []).map(({ digest }) => digest)),
    );
    const staying = this.#staying;
    return own.every(({ digest, bytes }) => bytes === 0 || staying.has(digest));
  }

  /** Images unpack alike, as far as is known: each takes its share of what all take. */
  onDiskPerByte(): number {
    const { images, unpackedBytes = 0 } = this.#facts;
    const packed = this.#account.total(images);
    return packed === 0 ? 1 : 1 + unpackedBytes / packed;
  }

  /** Undefined when it is not known. */
  freedOnDisk(): number | undefined {
    const perByte = this.onDiskPerByte();
    return perByte === 1 ? undefined : Math.round(this.freed * perByte);
  }

  /** Those that go, those that might, then the rest, biggest first. */
  entries(): readonly ImageGcEntry[] {
    this.#kept.sort((a, b) => b.image.sizeBytes - a.image.sizeBytes || (a.image.id < b.image.id ? -1 : 1));
    return [...this.#going, ...this.#spare, ...this.#kept];
  }

  #entry(
    { image, record }: Candidate,
    judgement: Judgement,
    fate: Pick<ImageGcEntry, "verdict" | "candidate" | "freesBytes">,
  ): ImageGcEntry {
    const { now, users } = this.#facts;
    return {
      image,
      ...judgement,
      ...fate,
      users: users.get(image.id) ?? [],
      lastUsedAgoMs: record.lastUsedAt === undefined ? undefined : now - record.lastUsedAt,
      firstSeenAgoMs: now - record.firstDetectedAt,
    };
  }
}
