// SPDX-License-Identifier: Apache-2.0
import { HoldfastError } from "@holdfast/core/errors";

/** A refusal with a reason of its own, as it is shown in the pod's status. kubelet: admission.Error. */
export class AdmissionError extends HoldfastError {
  /** The kubelet's word: SMTAlignmentError, UnexpectedAdmissionError … */
  readonly admissionReason: string;

  constructor(admissionReason: string, message: string) {
    super("RESOURCE_ADMISSION", "retryable", message);
    this.admissionReason = admissionReason;
  }
}
