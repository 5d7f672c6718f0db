// SPDX-License-Identifier: Apache-2.0

// What a runtime checks before it hands out a URL for Exec, Attach or PortForward, and a port's WebSocket. All that is behind the URLs: streaming.test.ts.
import { expect, it } from "vitest";

import { ChannelClient } from "./channel-client.ts";
import { errorOf } from "./harness.ts";
import type { Pod } from "./contract-pod.ts";

/** See the top of the file. */
export function streamingCases(pod: () => Pod): void {
  it("are URLs", async () => {
    const { cri } = pod();
    const podSandboxId = await pod().sandbox();
    const containerId = await pod().create(podSandboxId);
    await cri.startContainer({ containerId });
    const { url: exec } = await cri.exec({ containerId, cmd: ["ls"], stdout: true });
    const { url: attach } = await cri.attach({ containerId, stdout: true });
    const { url: portforward } = await cri.portForward({ podSandboxId, port: [80] });
    for (const [kind, url] of Object.entries({ exec, attach, portforward }))
      expect(url).toMatch(new RegExp(`^http://127\\.0\\.0\\.1:\\d+/${kind}/\\S+$`));
  });

  it("of what does not run, or for nothing, are refused", async () => {
    const { cri, runtime } = pod();
    const podSandboxId = await pod().sandbox();
    const created = await pod().create(podSandboxId);
    const running = await pod().create(podSandboxId, undefined, "running");
    await cri.startContainer({ containerId: running });
    const cmd = ["ls"];
    const no = "0".repeat(64);
    const refusals: [call: () => Promise<unknown>, code: string, text: string][] = [
      [
        () => cri.exec({ containerId: no, cmd, stdout: true }),
        "CRI_NOT_FOUND",
        `"${no}" in store: not found`,
      ],
      [
        () => cri.exec({ containerId: created, cmd, stdout: true }),
        "CRI_UNKNOWN",
        "is in CONTAINER_CREATED state",
      ],
      [
        () => cri.exec({ containerId: running, cmd }),
        "CRI_BAD_REQUEST",
        "one of stdin, stdout, or stderr must be set",
      ],
      [
        () => cri.exec({ containerId: running, cmd, tty: true, stderr: true }),
        "CRI_BAD_REQUEST",
        "tty and stderr cannot both be true",
      ],
      [
        () => cri.attach({ containerId: no, stdout: true }),
        "CRI_NOT_FOUND",
        "failed to find container in store: not found",
      ],
      [
        () => cri.attach({ containerId: created, stdout: true }),
        "CRI_UNKNOWN",
        "is in CONTAINER_CREATED state",
      ],
      [
        () => cri.attach({ containerId: running }),
        "CRI_BAD_REQUEST",
        "one of stdin, stdout, and stderr must be set",
      ],
      [
        () => cri.portForward({ podSandboxId: no, port: [80] }),
        "CRI_NOT_FOUND",
        `failed to find sandbox "${no}": not found`,
      ],
    ];
    for (const [call, code, text] of refusals) {
      const error = await errorOf(call());
      expect(error).toMatchObject({ code });
      expect((error as Error).message).toContain(text);
    }
    await runtime.pass(cri.stopPodSandbox({ podSandboxId }));
    const error = await errorOf(cri.portForward({ podSandboxId, port: [80] }));
    expect(error).toMatchObject({ code: "CRI_UNKNOWN" });
    expect((error as Error).message).toContain("sandbox container is not running");
  });

  it.each(["v4.channel.k8s.io", "v4.base64.channel.k8s.io"])(
    "a port over a WebSocket (%s): its number on both channels, and why there is no connection",
    async (protocol) => {
      const podSandboxId = await pod().sandbox();
      const { url } = await pod().cri.portForward({ podSandboxId, port: [9] });
      const channels = await ChannelClient.connect(url, protocol);
      await channels.closed;
      const [data, error] = channels.received;
      expect([data?.toString("hex"), error?.subarray(0, 2).toString("hex")]).toEqual(["0900", "0900"]);
      expect(error?.subarray(2).toString()).toMatch(/^error forwarding port 9 to pod.*connection refused/);
    },
  );
}
