// SPDX-License-Identifier: Apache-2.0

/** Fields beside a log message. Standard keys: pod, podUid, container, containerId, sandboxId, image, attempt, durationMs, err. */
export type LogFields = Readonly<Record<string, unknown>>;

/**
 * Structured logging: a constant message and fields.
 * *error*: a person must act. *warn*: degraded, heals by itself. *info*: a lifecycle change. *debug*: decisions.
 */
export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** A logger that adds `fields` to every line. */
  child(fields: LogFields): Logger;
}

/** Says nothing: every manager's default. */
export const silentLogger: Logger = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  child: () => silentLogger,
};
