// SPDX-License-Identifier: Apache-2.0
/* How many CPUs of their own containers and pods ask for. Pure. kubelet: guaranteedCPUs, podGuaranteedCPUs. */
import { isSidecar, podQosClass } from "@holdfast/core/pod";
import type { Container, Pod } from "@holdfast/core/pod-types";
import { quantityOf } from "../compute-resources.ts";

/** Whole cores of a container of a Guaranteed pod; 0 means that it runs on the shared pool. */
export function guaranteedCpus(pod: Pod, container: Container): number {
  if (podQosClass(pod.spec) !== "Guaranteed") return 0;
  const milli = quantityOf(container, "requests", "cpu") ?? 0;
  return milli % 1000 === 0 ? milli / 1000 : 0;
}

/** The most that the pod holds at one time: what goes on running, or the largest init step. */
export function podGuaranteedCpus(pod: Pod): number {
  let sidecars = 0;
  let largestStep = 0;
  for (const init of pod.spec.initContainers ?? []) {
    const cpus = guaranteedCpus(pod, init);
    if (isSidecar(init)) sidecars += cpus;
    else largestStep = Math.max(largestStep, sidecars + cpus);
  }
  const running = pod.spec.containers.reduce((sum, app) => sum + guaranteedCpus(pod, app), sidecars);
  return Math.max(running, largestStep);
}
