// SPDX-License-Identifier: Apache-2.0
//
// Exec, Attach and PortForward: what containerd checks before it hands out a URL, and what happens behind it.

import { AttachRequest, ExecRequest, PortForwardRequest } from "@holdfast/cri";
import type { CriRuntimeService } from "@holdfast/cri";

import { runCommand } from "./exec-service.ts";
import { RuntimeFailure } from "./failure.ts";
import type { MethodFactory } from "./method.ts";
import type { ContainerRecord, SandboxRecord } from "./state.ts";
import type { CommandSession, CommandStreams, Streaming } from "./streaming.ts";
import { portStateAt } from "./usage.ts";
import { hostOf } from "./world.ts";
import type { World } from "./world.ts";

type StreamingMethods = Pick<CriRuntimeService, "exec" | "attach" | "portForward">;

/** What the streaming service is made with. */
export interface StreamingPorts {
  readonly world: World;
  /** Without it the three RPCs are unimplemented: an object in a process has no URLs. */
  readonly streaming: Streaming | undefined;
}

const aboutId = ({ containerId }: { readonly containerId: string }): string => containerId;

export function createStreamingService(
  { world, streaming }: StreamingPorts,
  { unary, missing }: MethodFactory,
): StreamingMethods {
  if (streaming === undefined)
    return {
      exec: missing("Exec", ExecRequest, aboutId),
      attach: missing("Attach", AttachRequest, aboutId),
      portForward: missing("PortForward", PortForwardRequest, ({ podSandboxId }) => podSandboxId),
    };
  return {
    exec: unary("Exec", ExecRequest, {
      target: aboutId,
      handle: async (request) => {
        const { containerId } = request;
        const container = running(world, containerId, `failed to find container "${containerId}" in store`);
        checkStreams(request, "or");
        const run = (streams: CommandStreams): Promise<number> =>
          exec(world, container, request.cmd, request.tty, streams);
        return { url: await streaming.offer({ kind: "exec", wants: wantsOf(request), run }) };
      },
    }),
    attach: unary("Attach", AttachRequest, {
      target: aboutId,
      handle: async (request) => {
        const container = running(world, request.containerId, "failed to find container in store");
        checkStreams(request, "and");
        const run = (streams: CommandStreams): Promise<number> => attach(world, container, streams);
        return { url: await streaming.offer({ kind: "attach", wants: wantsOf(request), run }) };
      },
    }),
    portForward: unary("PortForward", PortForwardRequest, {
      target: ({ podSandboxId }) => podSandboxId,
      handle: async ({ podSandboxId, port: ports }) => {
        const sandbox = world.findSandbox(podSandboxId);
        if (sandbox === undefined) throw notFound(podSandboxId, `failed to find sandbox "${podSandboxId}"`);
        if (!sandbox.ready) throw new RuntimeFailure("CRI_UNKNOWN", "sandbox container is not running");
        const reach = (port: number): string => reachPort(world, sandbox, port);
        return { url: await streaming.offer({ kind: "portforward", ports, reach }) };
      },
    }),
  };
}

function notFound(id: string, text: string): RuntimeFailure {
  return id === ""
    ? new RuntimeFailure("CRI_UNKNOWN", `${text}: Prefix can't be empty`)
    : new RuntimeFailure("CRI_NOT_FOUND", `${text}: not found`);
}

function running(world: World, id: string, missingText: string): ContainerRecord {
  const container = world.findContainer(id);
  if (container === undefined) throw notFound(id, missingText);
  if (container.phase !== "running")
    throw new RuntimeFailure(
      "CRI_UNKNOWN",
      `container is in CONTAINER_${container.phase.toUpperCase()} state`,
    );
  return container;
}

type Wishes = CommandSession["wants"];

function checkStreams({ stdin, stdout, stderr, tty }: Wishes, last: "and" | "or"): void {
  if (tty && stderr) throw new RuntimeFailure("CRI_BAD_REQUEST", "tty and stderr cannot both be true");
  if (!stdin && !stdout && !stderr)
    throw new RuntimeFailure("CRI_BAD_REQUEST", `one of stdin, stdout, ${last} stderr must be set`);
}

function wantsOf({ stdin, stdout, stderr, tty }: Wishes): Wishes {
  return { stdin, stdout, stderr, tty };
}

async function exec(
  world: World,
  container: ContainerRecord,
  cmd: readonly string[],
  tty: boolean,
  { signal, write }: CommandStreams,
): Promise<number> {
  const { exitCode, stdout, stderr } = await runCommand(world, container, { cmd, timeout: 0n }, signal);
  if (stdout !== "") write("stdout", Buffer.from(tty ? asTerminal(stdout) : stdout));
  if (stderr !== "") write(tty ? "stdout" : "stderr", Buffer.from(tty ? asTerminal(stderr) : stderr));
  return exitCode;
}

function asTerminal(text: string): string {
  return text.replaceAll("\n", "\r\n");
}

/** Until the container ends or the client goes. */
function attach(world: World, container: ContainerRecord, streams: CommandStreams): Promise<number> {
  const { signal, write, onInput } = streams;
  const { promise, resolve } = Promise.withResolvers<number>();
  const watch = (stream: "stdout" | "stderr", text: string): void => write(stream, Buffer.from(text));
  container.watchers.add(watch);
  const stopWaiting = world.onExitShown(container, () => resolve(0));
  signal.addEventListener("abort", () => resolve(0), { once: true });
  let line = "";
  onInput((bytes) => {
    if (!container.config.stdin) return;
    if (bytes === undefined) {
      // What reads its input ends with it.
      if (container.config.stdinOnce && container.process?.program.shell === true)
        container.process.exit({ exitCode: 0, reason: "" });
      return;
    }
    const lines = (line + Buffer.from(bytes).toString()).split("\n");
    line = (lines.pop() ?? "").slice(-MAX_LINE);
    for (const one of lines) runLine(world, container, one);
  });
  return promise.finally(() => {
    container.watchers.delete(watch);
    stopWaiting();
  });
}

const MAX_LINE = 65_536;

/** A program that is a shell answers each line as it answers an exec. */
function runLine(world: World, container: ContainerRecord, line: string): void {
  const program = container.process?.program;
  const words = line.split(/\s+/).filter((word) => word !== "");
  if (program?.shell !== true || words.length === 0) return;
  const { stdout = "", stderr = "" } = program.exec?.(words) ?? {};
  if (stdout !== "") world.output(container, "stdout", stdout);
  if (stderr !== "") world.output(container, "stderr", stderr);
}

/** A pod's port is one of the same number on loopback, while a program of the pod listens there. */
function reachPort(world: World, sandbox: SandboxRecord, port: number): string {
  const isServed = world
    .containersOf(sandbox)
    .some(({ process: main }) =>
      main?.ports.some((one) => one.port === port && main.alive && portStateAt(one, main.ageMs) !== "closed"),
    );
  if (isServed && world.options.loopback !== undefined) return hostOf(sandbox);
  throw new RuntimeFailure(
    "CRI_UNKNOWN",
    `failed to connect to localhost:${port} inside namespace "${sandbox.id}": connection refused`,
  );
}
