// SPDX-License-Identifier: Apache-2.0

/** Pure: may a container that does not run be started again? */
import { effectiveRestartPolicy } from "@holdfast/core/pod";
import type { Container, Pod } from "@holdfast/core/pod-types";
import type { ContainerRecord } from "@holdfast/core/runtime-status";

/** kubelet: ShouldContainerBeRestarted. `record` is the newest of that name. */
export function shouldContainerBeRestarted(
  container: Container,
  pod: Pod,
  record: ContainerRecord | undefined,
): boolean {
  if (pod.metadata.deletionTimestamp !== undefined) return false;
  if (record === undefined) return true;
  if (record.state === "running") return false;
  if (record.state === "unknown" || record.state === "created") return true;
  switch (effectiveRestartPolicy(pod, container)) {
    case "Always":
      return true;
    case "OnFailure":
      return record.exitCode !== 0;
    case "Never":
      return false;
  }
}

/** An exit code of 0 does not clear a container that was killed for memory. kubelet: isInitContainerFailed. */
export function isInitContainerFailed(record: ContainerRecord): boolean {
  return record.state === "unknown" || record.exitCode !== 0 || record.reason === "OOMKilled";
}

/**
 * A main process is gone as containerd's event says, but others may live on in a process namespace that is not the container's own:
 * the runtime's word must come first (DESIGN.md, principle 1).
 */
export function mustAwaitConfirmation(pod: Pod, record: ContainerRecord | undefined): boolean {
  return (
    record?.exitUnconfirmed === true && (pod.spec.hostPID === true || pod.spec.shareProcessNamespace === true)
  );
}
