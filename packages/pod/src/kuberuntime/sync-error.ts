// SPDX-License-Identifier: Apache-2.0

/** Failures of actions, with the kubelet's reasons. */
import { errorText, HoldfastError, holdfastErrorIn } from "@holdfast/core/errors";

/** kubelet: pkg/kubelet/container/sync_result.go, images/types.go. */
export type SyncReason =
  | "CrashLoopBackOff"
  | "ErrImagePull"
  | "ImagePullBackOff"
  | "ErrImageNeverPull"
  | "ImageInspectError"
  | "InvalidImageName"
  | "RegistryUnavailable"
  | "SignatureValidationFailed"
  | "CreateContainerConfigError"
  | "CreateContainerError"
  | "RunContainerError"
  | "PostStartHookError"
  | "KillContainerError"
  | "KillPodSandboxError"
  | "CreatePodSandboxError"
  | "ConfigPodSandboxError"
  | "RemoveContainerError";

/** What a {@link PodSyncError} takes beside reason and message. */
export interface PodSyncErrorOptions {
  readonly cause?: unknown;
  /** Monotonic: trying again before is of no use. */
  readonly comeBackAt?: number;
  /** The event for this was published already. */
  readonly announced?: boolean;
}

/** An action that failed. Its kind is its cause's; without one it is retryable. */
export class PodSyncError extends HoldfastError {
  readonly reason: SyncReason;
  readonly comeBackAt: number | undefined;
  readonly announced: boolean;

  constructor(reason: SyncReason, message: string, options: PodSyncErrorOptions = {}) {
    const cause = holdfastErrorIn(options.cause);
    super(
      `POD_${reason.replace(/(?<=[a-z])(?=[A-Z])/g, "_").toUpperCase()}`,
      cause?.kind ?? "retryable",
      message,
      {
        ...(options.cause === undefined ? {} : { cause: options.cause }),
        ...(cause?.fieldPath === undefined ? {} : { fieldPath: cause.fieldPath }),
      },
    );
    this.reason = reason;
    this.comeBackAt = options.comeBackAt;
    this.announced = options.announced ?? false;
  }

  /** Wraps what a call threw; an error that has its reason already is left as it is. */
  static from(reason: SyncReason, error: unknown): PodSyncError {
    return error instanceof PodSyncError
      ? error
      : new PodSyncError(reason, errorText(error), { cause: error });
  }

  /** Whether waiting is all there is to it. */
  get isBackOff(): boolean {
    return this.reason === "CrashLoopBackOff" || this.reason === "ImagePullBackOff";
  }
}

/** Whether a create or run call may have made something although it failed. */
export function mayExist(error: unknown): boolean {
  const known = holdfastErrorIn(error);
  if (known === undefined) return false;
  return (
    known.kind === "deadline" ||
    isNameTaken(error) ||
    ("mayHaveHappened" in known && known.mayHaveHappened === true)
  );
}

/** Whether the runtime refused because something has the name already. */
export function isNameTaken(error: unknown): boolean {
  const code = holdfastErrorIn(error)?.code;
  return code === "CRI_NAME_RESERVED" || code === "CRI_ALREADY_EXISTS";
}
