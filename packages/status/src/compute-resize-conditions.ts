// SPDX-License-Identifier: Apache-2.0

/** PodResizePending and PodResizeInProgress: made by whoever resizes, kept beside the status, shown while they last. Pure. kubelet: status.Manager's podResizeConditions. */
import type { PodCondition } from "@holdfast/core/pod-types";
import { findCondition } from "./api-types.ts";

/** The two conditions of one pod. Absent: no resize is wanted, or none under way. */
export interface ResizeConditions {
  readonly pending?: PodCondition;
  readonly inProgress?: PodCondition;
}

/** What is said of a resize. */
export interface ResizeNews {
  readonly reason: string;
  readonly message: string;
  readonly observedGeneration?: number;
}

/** A resize waits. A reason that is neither Deferred nor Infeasible becomes Deferred; the time moves only when the reason does. */
export function resizePending(before: ResizeConditions, news: ResizeNews, now: string): ResizeConditions {
  const reason = news.reason === "Infeasible" ? "Infeasible" : "Deferred";
  const old = before.pending;
  return {
    ...before,
    pending: {
      type: "PodResizePending",
      status: "True",
      reason,
      ...(news.message === "" ? {} : { message: news.message }),
      ...transition(old, reason, now),
      ...(news.observedGeneration === undefined ? {} : { observedGeneration: news.observedGeneration }),
    },
  };
}

/** A resize is under way. What it said before stays where the news says nothing; so does the generation it began with. */
export function resizeInProgress(before: ResizeConditions, news: ResizeNews, now: string): ResizeConditions {
  const old = before.inProgress;
  const silent = news.reason === "" && news.message === "";
  const reason = silent ? (old?.reason ?? "") : news.reason;
  const message = silent ? (old?.message ?? "") : news.message;
  const generation = old?.observedGeneration ?? news.observedGeneration;
  return {
    ...before,
    inProgress: {
      type: "PodResizeInProgress",
      status: "True",
      ...(reason === "" ? {} : { reason }),
      ...(message === "" ? {} : { message }),
      ...transition(old, reason, now),
      ...(generation === undefined ? {} : { observedGeneration: generation }),
    },
  };
}

/** What a status that came from elsewhere says of resizes: after a restart of the agent. kubelet: BackfillPodResizeConditions. */
export function resizeConditionsIn(conditions: readonly PodCondition[] | undefined): ResizeConditions {
  const pending = findCondition(conditions, "PodResizePending");
  const inProgress = findCondition(conditions, "PodResizeInProgress");
  return {
    ...(pending === undefined ? {} : { pending }),
    ...(inProgress === undefined ? {} : { inProgress }),
  };
}

/** In the order in which a status shows them. */
export function resizeConditionList({ pending, inProgress }: ResizeConditions): readonly PodCondition[] {
  return [pending, inProgress].filter((condition) => condition !== undefined);
}

function transition(
  old: PodCondition | undefined,
  reason: string,
  now: string,
): Pick<PodCondition, "lastTransitionTime"> {
  return {
    lastTransitionTime:
      old?.reason === (reason === "" ? undefined : reason) ? (old?.lastTransitionTime ?? now) : now,
  };
}
