// SPDX-License-Identifier: Apache-2.0
//
// The command line of holdfast-cri-fake. Pure.

import { parseArgs } from "node:util";

/** What the command is told to do. */
export type Command =
  | { readonly do: "help" | "version" }
  | { readonly do: "refuse"; readonly problem: string }
  | { readonly do: "check"; readonly script: string }
  | {
      readonly do: "serve";
      readonly listen: string;
      readonly script: string | undefined;
      readonly writeLogs: boolean;
    };

/** What `--help` prints. */
export const USAGE = `holdfast-cri-fake: a CRI runtime that runs nothing, behaves as containerd does, and misbehaves on command

usage: holdfast-cri-fake --listen unix:///PATH [--script FILE] [--no-logs]
       holdfast-cri-fake --check FILE

  --listen ADDRESS   the socket; one that is left there is replaced
  --script FILE      runtime, images, programs and faults (YAML or JSON); without it: a containerd 2.1 whose containers run until
                     they are stopped, with holdfast.local/busybox:1 and holdfast.local/pause:1 on its disk
  --no-logs          container logs are not written to the files that requests name
  --check FILE       reads a script, says what is wrong with it, and ends
  --help, --version

signals
  SIGINT, SIGTERM    ends
  SIGHUP             reads the script again: its faults are in force instead of the old ones (what hung goes on); the rest stays
  SIGUSR1            crash and restart: connections break, containers stay; SIGUSR2: every connection becomes half-open

exit codes
  0 ended by a signal, or the script is fine   1 cannot listen   2 bad arguments   3 bad script, each problem as FILE:LINE: FIELD: RULE

a script
  runtime: { containerd: "1.7", seed: 7, latencyMs: { default: 5, StartContainer: 40 } }
  imageFs: { capacityBytes: 10Gi }
  images:
    - { reference: holdfast.local/busybox:1, size: 2Mi, pinned: true }
  registry:
    - { reference: "*", size: 5Mi }
  programs:
    - { match: { container: job }, exitAfterMs: 5000, exitCode: 3 }
    - { match: { container: leak }, memoryBytes: 10Mi, memoryGrowthPerSecond: 1Mi }
    - { match: { container: web }, serve: [{ port: 8080, kind: http, failAfterMs: 60000 }] }
  faults:
    - { match: { method: ContainerStatus, podName: web, nth: 3 }, hang: true }

  CONTAINER_RUNTIME_ENDPOINT=unix:///tmp/fake.sock crictl pods
`;

/** Reads the arguments. */
export function readArguments(args: readonly string[]): Command {
  try {
    const { values } = parseArgs({
      args: [...args],
      allowPositionals: false,
      options: {
        listen: { type: "string" },
        script: { type: "string" },
        check: { type: "string" },
        "no-logs": { type: "boolean" },
        help: { type: "boolean", short: "h" },
        version: { type: "boolean" },
      },
    });
    if (values.help) return { do: "help" };
    if (values.version) return { do: "version" };
    if (values.check !== undefined) return { do: "check", script: values.check };
    if (values.listen === undefined) return { do: "refuse", problem: "--listen is missing" };
    const { listen, script } = values;
    return { do: "serve", listen, script, writeLogs: values["no-logs"] !== true };
  } catch (error) {
    return { do: "refuse", problem: error instanceof Error ? error.message : String(error) };
  }
}
