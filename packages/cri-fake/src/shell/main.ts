// SPDX-License-Identifier: Apache-2.0
//
// The command holdfast-cri-fake: a fake on a socket, in real time, until a signal ends it.

import { readFileSync } from "node:fs";
import { dirname } from "node:path";
import process from "node:process";

import { errorText, HoldfastError } from "@holdfast/core/errors";
import { systemClock } from "@holdfast/core/node";

import { FakeRuntime } from "../fake-runtime.ts";
import { parseScript } from "../script/parse-script.ts";
import type { ScriptOptions } from "../script/parse-script.ts";
import { readArguments, USAGE } from "./arguments.ts";
import type { Command } from "./arguments.ts";
import { fileLogSink } from "./file-log-sink.ts";
import { loopback } from "./loopback.ts";
import { streamingServer } from "./streaming/streaming-server.ts";
import { serveFakeRuntime } from "./serve.ts";

const EXIT = { fine: 0, failed: 1, usage: 2, script: 3 } as const;

/** Runs the command. Resolves with its exit code. */
export async function main(args: readonly string[]): Promise<number> {
  const command = readArguments(args);
  try {
    switch (command.do) {
      case "help":
        process.stdout.write(USAGE);
        return EXIT.fine;
      case "version":
        process.stdout.write(`${ownVersion()}\n`);
        return EXIT.fine;
      case "refuse":
        process.stderr.write(`holdfast-cri-fake: ${command.problem}; --help tells more\n`);
        return EXIT.usage;
      case "check":
        readScript(command.script);
        process.stdout.write(`${command.script} is fine\n`);
        return EXIT.fine;
      case "serve":
        await serve(command);
        return EXIT.fine;
    }
  } catch (error) {
    process.stderr.write(`holdfast-cri-fake: ${errorText(error)}\n`);
    if (!HoldfastError.is(error)) return EXIT.failed;
    if (error.code === "CRI_FAKE_SCRIPT") return EXIT.script;
    return error.kind === "bad-input" ? EXIT.usage : EXIT.failed;
  }
}

async function serve({ listen, script, writeLogs }: Extract<Command, { do: "serve" }>): Promise<void> {
  const { faults = [], ...options }: ScriptOptions = script === undefined ? {} : readScript(script);
  const streaming = streamingServer();
  const fake = new FakeRuntime({
    ...options,
    clock: systemClock,
    loopback: loopback(),
    streaming,
    endpoint: listen,
    // A folder that is there: who uses a runtime asks how full the file system of its images is.
    imageFs: { mountpoint: dirname(listen.replace(/^unix:(\/\/)?/, "")), ...options.imageFs },
    ...(writeLogs ? { logSink: fileLogSink() } : {}),
  });
  let inForce = faults.map((fault) => fake.addFault(fault));
  const server = await serveFakeRuntime(fake, { listen });
  const reload = (): void => {
    if (script === undefined) return;
    try {
      const { faults: fresh = [] } = readScript(script);
      for (const fault of inForce) fault.lift();
      inForce = fresh.map((fault) => fake.addFault(fault));
      process.stdout.write(`${inForce.length} faults are in force\n`);
    } catch (error) {
      process.stderr.write(`holdfast-cri-fake: the old faults stay: ${errorText(error)}\n`);
    }
  };
  process.on("SIGHUP", reload);
  process.on("SIGUSR1", () => fake.restart());
  process.on("SIGUSR2", () => {
    fake.goHalfOpen();
    process.stdout.write("every connection is half-open now\n");
  });
  const ended = new Promise<void>((resolve) => {
    process.once("SIGINT", () => resolve());
    process.once("SIGTERM", () => resolve());
  });
  process.stdout.write(`listening on ${server.endpoint}\n`);
  await ended;
  await server.stop();
  await streaming.close();
  await fake.end();
}

function readScript(file: string): ScriptOptions {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (cause) {
    throw new HoldfastError("CRI_FAKE_SCRIPT", "bad-input", `cannot read the script: ${errorText(cause)}`, {
      cause,
    });
  }
  return parseScript(text, file);
}

function ownVersion(): string {
  const text = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  return (JSON.parse(text) as { version: string }).version;
}
