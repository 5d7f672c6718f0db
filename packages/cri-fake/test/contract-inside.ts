// SPDX-License-Identifier: Apache-2.0

// What a process finds around itself: what the runtime makes of a pod's and a container's configuration.
import { expect, it } from "vitest";

import type { Pod, Workload } from "./contract-pod.ts";
import { IMAGE, insideProgram, WORKLOADS } from "./contract-pod.ts";

/** See the top of the file. */
export function insideCases(pod: () => Pod): void {
  it("are the pod's host name, DNS and sysctls, the user with all groups, and a root that can be written to or not", async () => {
    const { cri } = pod();
    const config = {
      ...pod().config(0, 0),
      hostname: "contract-host",
      dnsConfig: {
        servers: ["10.10.10.10", "10.10.10.11"],
        searches: ["a.test", "b.test"],
        options: ["ndots:8"],
      },
      linux: { sysctls: { "kernel.shm_rmid_forced": "1" } },
    };
    const { podSandboxId } = await cri.runPodSandbox({ config });
    const told = async (name: string, securityContext: object, workload: Workload = WORKLOADS.inside) => {
      const { containerId } = await cri.createContainer({
        podSandboxId,
        sandboxConfig: config,
        config: {
          metadata: { name, attempt: 0 },
          image: { image: IMAGE },
          command: [...workload.command],
          labels: pod().labels,
          linux: { securityContext },
        },
      });
      await cri.startContainer({ containerId });
      const { stdout } = await cri.execSync({
        containerId,
        cmd: ["/bin/sh", "-c", insideProgram],
        timeout: 10,
      });
      return { said: Buffer.from(stdout).toString(), user: (await pod().status(containerId)).user };
    };
    const dns = "search a.test b.test\nnameserver 10.10.10.10\nnameserver 10.10.10.11\noptions ndots:8\n";
    const common = `contract-host\n${dns}1\n`;
    const some = await told("some", {
      runAsUser: { value: 1001n },
      runAsGroup: { value: 1002n },
      supplementalGroups: [5678n, 1234n],
      readonlyRootfs: true,
    });
    expect(some.said).toBe(`${common}1001\n1002 1234 5678\nread-only\n`);
    const root = await told("root", {});
    expect(root.said).toBe(`${common}0\n0\nwritable\n`);
    const { runtimeVersion } = await cri.version({});
    if (!/^v?2/.test(runtimeVersion)) expect([some.user, root.user]).toEqual([undefined, undefined]);
    else {
      const { supplementalGroups = [], ...own } = some.user?.linux ?? {};
      expect(own).toEqual({ uid: 1001n, gid: 1002n });
      expect([...supplementalGroups].sort()).toEqual([1002n, 1234n, 5678n]);
      expect(root.user?.linux).toEqual({ uid: 0n, gid: 0n, supplementalGroups: [0n] });
    }
  });
}
