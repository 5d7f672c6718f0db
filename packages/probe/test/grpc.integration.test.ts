// SPDX-License-Identifier: Apache-2.0

// A gRPC server in Go: containerd has a health service. Its socket is reached through a port, as a pod's would be.
import { connect, createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { expect, test } from "vitest";
import { probeOnce } from "@holdfast/probe/node";

test("containerd is healthy; a service that it does not have is not found", async () => {
  const endpoint = process.env["HOLDFAST_TEST_CONTAINERD"];
  if (endpoint === undefined) throw new Error("HOLDFAST_TEST_CONTAINERD is not set; see CONTRIBUTING.md");
  const server = createServer((socket) => {
    const behind = connect(endpoint.replace(/^unix:\/\//, ""));
    socket.on("error", () => behind.destroy()).on("close", () => behind.destroy());
    behind.on("error", () => socket.destroy());
    socket.pipe(behind).pipe(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  for (let turn = 0; turn < 3; turn++) {
    expect(await probeOnce({ grpc: { port }, timeoutSeconds: 10 })).toMatchObject({
      result: "success",
      output: "service healthy",
    });
    expect(await probeOnce({ grpc: { port, service: "nobody's" }, timeoutSeconds: 10 })).toMatchObject({
      result: "failure",
      output: "error: health rpc probe failed: rpc error: code = NotFound desc = unknown service",
    });
  }
  await new Promise((resolve) => server.close(resolve));
});
