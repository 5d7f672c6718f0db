// SPDX-License-Identifier: Apache-2.0

import type { Clock } from "@holdfast/core/clock";
import { errorText, HoldfastError } from "@holdfast/core/errors";
import type { LogFields, Logger } from "@holdfast/core/log";
import { rfc3339 } from "@holdfast/core/rfc3339";

const LEVELS = ["debug", "info", "warn", "error"] as const;
/** How much is said. */
export type LogLevel = (typeof LEVELS)[number];

/** How a {@link createLogger} logger writes. */
export interface LineLoggerOptions {
  readonly clock: Pick<Clock, "now">;
  readonly write: (line: string) => void;
  readonly level: LogLevel;
  /** `text` for people and journald, `json` for collectors. */
  readonly format: "text" | "json";
}

/** Longer values are cut: a log line is no place for a document. */
const MAX_VALUE_CHARS = 2000;

/** One line an event, time first. Values never span lines. */
export function createLogger(options: LineLoggerOptions, base: LogFields = {}): Logger {
  const log = (level: LogLevel, message: string, fields: LogFields = {}): void => {
    if (LEVELS.indexOf(level) < LEVELS.indexOf(options.level)) return;
    const time = rfc3339(options.clock.now());
    const all = { ...base, ...fields };
    options.write(
      options.format === "json" ? jsonLine(time, level, message, all) : textLine(time, level, message, all),
    );
  };
  return {
    debug: (message, fields) => log("debug", message, fields),
    info: (message, fields) => log("info", message, fields),
    warn: (message, fields) => log("warn", message, fields),
    error: (message, fields) => log("error", message, fields),
    child: (fields) => createLogger(options, { ...base, ...fields }),
  };
}

function printable(value: unknown): string | number | boolean | undefined | null {
  if (value === null || value === undefined || typeof value === "number" || typeof value === "boolean")
    return value;
  const text =
    value instanceof Error ? errorText(value) : typeof value === "string" ? value : JSON.stringify(value);
  return text.length > MAX_VALUE_CHARS ? `${text.slice(0, MAX_VALUE_CHARS)}...` : text;
}

function jsonLine(time: string, level: LogLevel, message: string, fields: LogFields): string {
  const entries = Object.entries(fields).map(([key, value]) => [key, printable(value)]);
  const code = HoldfastError.is(fields["err"]) ? { code: fields["err"].code } : {};
  return `${JSON.stringify({ time, level, message, ...Object.fromEntries(entries), ...code })}\n`;
}

function textLine(time: string, level: LogLevel, message: string, fields: LogFields): string {
  let line = `${time} ${level.toUpperCase().padEnd(5)} ${message}`;
  for (const [key, value] of Object.entries(fields)) {
    const text = printable(value);
    if (text === undefined) continue;
    line += ` ${key}=${typeof text === "string" && (text === "" || /[\s"=]/.test(text)) ? JSON.stringify(text) : String(text)}`;
  }
  return `${line}\n`;
}
