// SPDX-License-Identifier: Apache-2.0

import type { EnvVar } from "@holdfast/core/pod-types";

const REFERENCE = /\$(?:\$|\(([^)]*)\))/g;

/**
 * Replaces `$(NAME)` by the literal value of that variable, `$$` by `$`; whatever else is named stays as it was typed: what a container
 * gets at its start from fields and files is not known here. kubelet: ExpandContainerCommandOnlyStatic.
 */
export function expandProbeCommand(command: readonly string[], env: readonly EnvVar[] = []): string[] {
  const values = new Map<string, string>();
  for (const { name, value } of env) if (value !== undefined) values.set(name, value);
  return command.map((word) =>
    word.replace(REFERENCE, (whole: string, name: string | undefined) =>
      name === undefined ? "$" : (values.get(name) ?? whole),
    ),
  );
}
