// SPDX-License-Identifier: Apache-2.0

/** What a container said last. kubelet: getTerminationMessage, readLastStringFromContainerLogs. */
import { errorText } from "@holdfast/core/errors";
import type { PodFiles } from "../ports.ts";

/** kubelet: MaxContainerTerminationMessageLength and its siblings for logs. */
const MAX_MESSAGE_BYTES = 4096;
const MAX_LOG_BYTES = 2048;
const MAX_LOG_LINES = 80;
/** A log line's own head (time, stream, tags) is about this long; lines may be short. */
const LOG_READ_BYTES = 64 * 1024;

/** Where a container's last words are kept on the host: one file per restart. kubelet: GetPodContainerDir + 8 hex digits. */
export function terminationLogFile(podDir: string, container: string, restartCount: number): string {
  return `${podDir}/containers/${container}/${restartCount.toString(16).padStart(8, "0")}`;
}

/** Of an exited container. */
export interface TerminationInput {
  /** The runtime's own message. */
  readonly message: string;
  readonly exitCode: number;
  readonly reason: string;
  /** From the annotation. */
  readonly policy: string;
  /** The host side of the mount; undefined when there is none. */
  readonly file: string | undefined;
  /** The container's log; undefined when unknown. */
  readonly logFile: string | undefined;
}

/** Never rejects: a file that cannot be read becomes text. */
export async function readTerminationMessage(
  files: Pick<PodFiles, "readFile">,
  input: TerminationInput,
): Promise<string> {
  const read = async (path: string, limit: number): Promise<string> => {
    try {
      return (await files.readFile(path, limit, { fromEnd: true })) ?? "";
    } catch (error) {
      return `Error on reading termination log ${path}: ${errorText(error)}`;
    }
  };
  let text = input.file === undefined ? "" : await read(input.file, MAX_MESSAGE_BYTES);
  if (usesLog(input, text) && input.logFile !== undefined)
    text = lastLogLines(await read(input.logFile, LOG_READ_BYTES));
  return joinMessages(input.message, text);
}

function usesLog({ policy, exitCode, reason }: TerminationInput, text: string): boolean {
  return (
    policy === "FallbackToLogsOnError" && text === "" && exitCode !== 0 && reason !== "ContainerCannotRun"
  );
}

/** kubelet: "runtime's message: text". */
export function joinMessages(message: string, text: string): string {
  return [message, text].filter((part) => part !== "").join(": ");
}

const LOG_LINE = /^\S+ (?:stdout|stderr) ([PF])(?::\S*)? (.*)$/s;

/** The last 80 lines, at most 2048 bytes of them, of a CRI log's end. Its first line may be torn and is left out when it cannot be read. */
export function lastLogLines(log: string): string {
  const parts: string[] = [];
  for (const line of log.split("\n").slice(0, -1).slice(-MAX_LOG_LINES)) {
    const match = LOG_LINE.exec(line);
    if (match !== null) parts.push(match[1] === "P" ? (match[2] ?? "") : `${match[2]}\n`);
  }
  const bytes = new TextEncoder().encode(parts.join(""));
  return new TextDecoder().decode(bytes.subarray(Math.max(bytes.length - MAX_LOG_BYTES, 0)));
}
