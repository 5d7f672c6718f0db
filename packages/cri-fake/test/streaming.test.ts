// SPDX-License-Identifier: Apache-2.0

// Exec, Attach and PortForward behind their URLs, as clients of Kubernetes speak to them.
import { connect, createServer } from "node:net";
import type { AddressInfo } from "node:net";

import { systemClock } from "@holdfast/core/node";
import { FakeRuntime, loopback, streamingServer } from "@holdfast/cri-fake";
import type { Program } from "@holdfast/cri-fake";
import { afterEach, describe, expect, it, vi } from "vitest";

import { BUSYBOX, errorOf, runSandbox, sandboxConfig, start } from "./harness.ts";
import { ChannelClient } from "./channel-client.ts";
import { SpdyClient } from "./spdy-client.ts";

const V4 = "v4.channel.k8s.io";
const soon = { timeout: 10_000, interval: 5 };

let end: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const act of end.splice(0).reverse()) await act();
});

async function started(program: Program, config: object = {}) {
  const streaming = streamingServer();
  const fake = new FakeRuntime({
    clock: systemClock,
    programs: () => program,
    streaming,
    loopback: loopback(),
  });
  end = [() => streaming.close(), () => fake.end()];
  const podSandboxId = await runSandbox(fake);
  const { containerId } = await fake.createContainer({
    podSandboxId,
    sandboxConfig: sandboxConfig(),
    config: { metadata: { name: "app", attempt: 0 }, image: { image: BUSYBOX }, ...config },
  });
  await fake.startContainer({ containerId });
  return { fake, podSandboxId, containerId };
}

async function client(url: string, protocols: string): Promise<SpdyClient> {
  const made = await SpdyClient.connect(url, protocols);
  end.push(async () => made.close());
  return made;
}

const echo: Program = {
  exec: ([name = ""]) => (name === "fail" ? { exitCode: 3, stderr: "no\n" } : { stdout: "hello\nworld\n" }),
};

describe("exec over SPDY", () => {
  it.each([
    ["echo", false, "hello\nworld\n", "", { status: "Success" }],
    ["echo", true, "hello\r\nworld\r\n", "", { status: "Success" }],
    ["fail", false, "", "no\n", { status: "Failure", reason: "NonZeroExitCode" }],
  ] as const)("%s, tty %s", async (name, tty, stdout, stderr, status) => {
    const { fake, containerId } = await started(echo);
    const { url } = await fake.exec({ containerId, cmd: [name], stdout: true, stderr: !tty, tty });
    expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/exec\/\S{8}$/);
    const spdy = await client(url, `v5.channel.k8s.io, ${V4}`);
    expect(spdy.protocol).toBe("v5.channel.k8s.io");
    for (const type of ["error", "stdout", ...(tty ? ["resize"] : ["stderr"])])
      await spdy.open(type, { streamtype: type });
    await vi.waitFor(() => expect(spdy.received.get("error")?.ended).toBe(true), soon);
    expect(spdy.received.get("stdout")).toEqual({ text: stdout, ended: true });
    if (!tty) expect(spdy.received.get("stderr")).toEqual({ text: stderr, ended: true });
    const told = JSON.parse(spdy.received.get("error")?.text ?? "") as { details?: { causes: unknown[] } };
    expect(told).toMatchObject(status);
    expect(told.details?.causes ?? []).toEqual(name === "fail" ? [{ reason: "ExitCode", message: "3" }] : []);
    await vi.waitFor(() => expect(spdy.closed).toBe(true), soon);
  });

  it("a URL is for one client, of a protocol that is known; a ping is answered; what is no SPDY ends the connection", async () => {
    const { fake, containerId } = await started({ exec: () => ({ afterMs: Number.POSITIVE_INFINITY }) });
    const { url } = await fake.exec({ containerId, cmd: ["sleep"], stdout: true });
    await expect(SpdyClient.connect(`${url}x`, V4)).rejects.toThrow("404");
    const spdy = await client(url, V4);
    await expect(SpdyClient.connect(url, V4)).rejects.toThrow("404");
    spdy.ping(7);
    await vi.waitFor(() => expect(spdy.pongs).toEqual([7]), soon);
    for (const type of ["error", "stdout"]) await spdy.open(type, { streamtype: type });
    spdy.babble();
    await vi.waitFor(() => expect(spdy.closed).toBe(true), soon);
    const other = await fake.exec({ containerId, cmd: ["sleep"], stdout: true });
    await expect(SpdyClient.connect(other.url, "channel.k8s.io")).rejects.toThrow("403 unable to negotiate");
  });

  it("the command of a container that ends is killed", async () => {
    let begun = 0;
    const { fake, containerId } = await started({
      exec: () => {
        begun += 1;
        return { afterMs: Number.POSITIVE_INFINITY };
      },
    });
    const { url } = await fake.exec({ containerId, cmd: ["sleep"], stdout: true });
    const spdy = await client(url, V4);
    for (const type of ["error", "stdout"]) await spdy.open(type, { streamtype: type });
    await vi.waitFor(() => expect(begun).toBe(1), soon);
    fake.kill(containerId);
    await vi.waitFor(() => expect(spdy.received.get("error")?.text).toContain("137"), soon);
  });
});

describe("over a WebSocket", () => {
  it("an exec answers on its channels", async () => {
    const { fake, containerId } = await started(echo);
    const { url } = await fake.exec({ containerId, cmd: ["fail"], stdout: true, stderr: true });
    const channels = await ChannelClient.connect(url, "v5.channel.k8s.io", V4);
    expect(await channels.closed).toBe(1000);
    expect(channels.protocol).toBe("v5.channel.k8s.io");
    const texts = channels.received.map(String);
    expect(texts.slice(1, 3)).toEqual(["", "no\n"]);
    expect(JSON.parse(texts[3] ?? "")).toMatchObject({ status: "Failure", reason: "NonZeroExitCode" });
  });
});

describe("attach", () => {
  it("shows what the container writes from then on; a shell answers lines and ends with its input", async () => {
    const { fake, containerId } = await started(
      { shell: true, exec: ([, ...words]) => ({ stdout: `${words.join(" ")}\n` }) },
      { stdin: true, stdinOnce: true },
    );
    const { url } = await fake.attach({ containerId, stdin: true, stdout: true, stderr: true });
    const spdy = await client(url, V4);
    await spdy.open("error", { streamtype: "error" });
    const stdin = await spdy.open("stdin", { streamtype: "stdin" });
    for (const type of ["stdout", "stderr"]) await spdy.open(type, { streamtype: type });
    spdy.send(stdin, "echo one t");
    spdy.send(stdin, "wo\necho three\n");
    await vi.waitFor(() => expect(spdy.received.get("stdout")?.text).toBe("one two\nthree\n"), soon);
    spdy.send(stdin, "", true);
    await vi.waitFor(() => expect(spdy.received.get("error")?.text).toContain("Success"), soon);
    expect((await fake.containerStatus({ containerId })).status).toMatchObject({ state: 2, exitCode: 0 });
    expect(fake.logs(containerId)).toMatch(/stdout F one two\n.*stdout F three\n$/);
  });
});

describe("port-forward", () => {
  it("reaches a port that a program of the pod serves, and says that another is refused", async () => {
    const port = await freePort();
    const { fake, podSandboxId } = await started({ serve: [{ port, kind: "http" }] });
    await vi.waitFor(() => listens(port), soon);
    const { url } = await fake.portForward({ podSandboxId, port: [port] });
    const spdy = await client(url, "portforward.k8s.io");
    const pair = async (id: string, to: number): Promise<number> => {
      const about = { port: String(to), requestid: id };
      await spdy.open(`error ${id}`, { streamtype: "error", ...about });
      return spdy.open(`data ${id}`, { streamtype: "data", ...about });
    };
    const data = await pair("0", port);
    spdy.send(data, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    await vi.waitFor(() => expect(spdy.received.get("data 0")?.ended).toBe(true), soon);
    expect(spdy.received.get("data 0")?.text).toMatch(/^HTTP\/1\.1 200 OK/);
    expect(spdy.received.get("error 0")).toEqual({ text: "", ended: true });
    await pair("1", 1);
    await vi.waitFor(() => expect(spdy.received.get("error 1")?.text).toContain("connection refused"), soon);
  });
});

describe("port-forward over a WebSocket", () => {
  it.each(["v4.channel.k8s.io", "v4.base64.channel.k8s.io", undefined])("%s", async (protocol) => {
    const port = await freePort();
    const { fake, podSandboxId } = await started({ serve: [{ port, kind: "http" }] });
    await vi.waitFor(() => listens(port), soon);
    const { url } = await fake.portForward({ podSandboxId, port: [1, port] });
    const channels = await ChannelClient.connect(url, protocol);
    end.push(async () => channels.close());
    channels.send(2, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    expect(await channels.closed).toBe(1000);
    const [refused, why, answer, well] = channels.received.map((bytes) => bytes.subarray(2).toString());
    expect(channels.received.map((bytes) => bytes.readUInt16LE())).toEqual([1, 1, port, port]);
    expect([refused, well]).toEqual(["", ""]);
    expect(why).toContain("connection refused");
    expect(answer).toMatch(/^HTTP\/1\.1 200 OK/);
  });

  it("what is not spoken is refused, and a client that goes is let go", async () => {
    const port = await freePort();
    const { fake, podSandboxId } = await started({ serve: [{ port, kind: "tcp" }] });
    await vi.waitFor(() => listens(port), soon);
    const { url } = await fake.portForward({ podSandboxId, port: [port] });
    await expect(ChannelClient.connect(url, "v5.channel.k8s.io")).rejects.toThrow("refused");
    const second = await fake.portForward({ podSandboxId, port: [port] });
    const channels = await ChannelClient.connect(second.url, V4);
    await vi.waitFor(() => expect(channels.received[1]?.length).toBe(2), soon);
    channels.close();
    await channels.closed;
  });
});

it("pods whose addresses are loopback's serve the same port, each on its own", async () => {
  const port = await freePort();
  const fake = new FakeRuntime({
    clock: systemClock,
    programs: ({ podName }) => ({
      serve: [{ port, kind: "http", paths: { "/": podName === "a" ? 201 : 202 } }],
    }),
    loopback: loopback(),
    addressPrefix: "127.88",
  });
  end = [() => fake.end()];
  for (const [name, status] of [
    ["a", 201],
    ["b", 202],
  ] as const) {
    const { sandboxId } = await start(fake, { pod: name });
    const { status: sandbox } = await fake.podSandboxStatus({ podSandboxId: sandboxId });
    expect(sandbox?.network?.ip).toMatch(/^127\.88\./);
    const url = `http://${sandbox?.network?.ip}:${port}/`;
    await vi.waitFor(async () => expect((await fetch(url)).status).toBe(status), soon);
  }
});

it("a port of the host leads to the pod's, for who was first", async () => {
  const [port, hostPort] = [await freePort(), await freePort()];
  const fake = new FakeRuntime({
    clock: systemClock,
    programs: ({ podName }) => ({
      serve: [{ port, kind: "http", paths: { "/": podName === "a" ? 201 : 202 } }],
    }),
    loopback: loopback(),
    addressPrefix: "127.88",
  });
  end = [() => fake.end()];
  const mapping = { portMappings: [{ containerPort: port, hostPort }] };
  const first = await startIn(fake, "a", mapping);
  const url = `http://127.0.0.1:${hostPort}/`;
  await vi.waitFor(async () => expect((await fetch(url)).status).toBe(201), soon);
  const second = await startIn(fake, "b", mapping);
  await vi.waitFor(() => expect(fake.serving(second)).toMatchObject([{ state: "well" }]), soon);
  expect((await fetch(url)).status).toBe(201);
  fake.kill(first);
  await vi.waitFor(() => expect(fetch(url)).rejects.toThrow("fetch failed"), soon);
});

async function startIn(
  fake: FakeRuntime,
  pod: string,
  more: Parameters<typeof runSandbox>[3],
): Promise<string> {
  const podSandboxId = await runSandbox(fake, pod, 0, more);
  const { containerId } = await fake.createContainer({
    podSandboxId,
    sandboxConfig: sandboxConfig(pod),
    config: { metadata: { name: "app", attempt: 0 }, image: { image: BUSYBOX } },
  });
  await fake.startContainer({ containerId });
  return containerId;
}

it("without a server for it, an exec in a container is unimplemented", async () => {
  const fake = new FakeRuntime({ clock: systemClock });
  expect(await errorOf(fake.exec({ containerId: "x", stdout: true }))).toMatchObject({
    code: "CRI_UNIMPLEMENTED",
  });
});

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

function listens(port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1", () => {
      socket.destroy();
      resolve();
    });
    socket.on("error", reject);
  });
}
