// SPDX-License-Identifier: Apache-2.0

// Lists as a node has them: two containers in a pod, few different label keys and values.

import { Container, PodSandbox } from "@holdfast/cri";

const PER_POD = 2;

export function containersOf(count: number): Container[] {
  return Array.from({ length: count }, (_, index) => {
    const pod = Math.floor(index / PER_POD);
    return Container.fromPartial({
      id: index.toString(16).padStart(64, "0"),
      podSandboxId: pod.toString(16).padStart(64, "f"),
      metadata: { name: `container-${index % PER_POD}`, attempt: 1 },
      image: {
        image: `registry.example/team/image:${index % 7}`,
        userSpecifiedImage: `registry.example/team/image:${index % 7}`,
      },
      imageRef: `sha256:${String(index % 7).repeat(64)}`,
      imageId: `sha256:${String(index % 7).repeat(64)}`,
      state: index % 2 === 0 ? 1 : 2,
      createdAt: 1_795_000_000_000_000_000n + BigInt(index),
      labels: { "io.kubernetes.container.name": `container-${index % PER_POD}`, ...podLabels(pod) },
      annotations: {
        "io.kubernetes.container.hash": `hash-${index % 40}`,
        "io.kubernetes.container.restartCount": String(index % 4),
        "io.kubernetes.container.terminationMessagePath": "/dev/termination-log",
        "io.kubernetes.container.terminationMessagePolicy": "File",
        "io.kubernetes.pod.terminationGracePeriod": "30",
      },
    });
  });
}

/** The sandboxes of so many containers. */
export function sandboxesOf(containers: number): PodSandbox[] {
  return Array.from({ length: Math.ceil(containers / PER_POD) }, (_, pod) =>
    PodSandbox.fromPartial({
      id: pod.toString(16).padStart(64, "f"),
      metadata: { name: `pod-${pod}`, namespace: `namespace-${pod % 5}`, uid: `${pod}`.padStart(36, "0") },
      createdAt: 1_795_000_000_000_000_000n + BigInt(pod),
      labels: podLabels(pod),
      annotations: { "kubernetes.io/config.source": "file", "holdfast.agent/hash": `hash-${pod % 40}` },
    }),
  );
}

function podLabels(pod: number): Record<string, string> {
  return {
    "io.kubernetes.pod.name": `pod-${pod}`,
    "io.kubernetes.pod.namespace": `namespace-${pod % 5}`,
    "io.kubernetes.pod.uid": `${pod}`.padStart(36, "0"),
    "holdfast.agent/node": "node-1",
    "holdfast.agent/instance": "0123456789abcdef",
  };
}
