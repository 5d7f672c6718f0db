// SPDX-License-Identifier: Apache-2.0

import type { KubeEvent } from "@holdfast/journal";
import type { KubeEventList, PodObject } from "../../api/types.ts";
import type { Command, CommandContext } from "../command.ts";
import { CommandError } from "../command.ts";
import { describePod } from "../describe-pod.ts";
import { podPath } from "../pod-name.ts";

/** `holdfast describe pod NAME`. */
export const describeCommand: Command = {
  name: "describe",
  summary: "all that is known about one pod",
  usage: "holdfast describe pod NAME",
  options: { namespace: { type: "string", short: "n", value: "NS", help: "namespace of NAME" } },
  async run(context) {
    const [kind, name] = context.args;
    if ((kind !== "pod" && kind !== "pods" && kind !== "po") || name === undefined)
      throw new CommandError("describe what? holdfast describe pod NAME", { exitCode: 2 });
    const pod = await context.client.get<PodObject>(await podPath(context, name));
    const events = await kubeEvents(context, pod);
    context.terminal.out(`${describePod(pod, context.now(), events, context.terminal.columns)}\n`);
    return 0;
  },
};

/** From the journal; undefined where the agent keeps none, or cannot read it now. */
async function kubeEvents(
  context: CommandContext,
  pod: PodObject,
): Promise<readonly KubeEvent[] | undefined> {
  const { namespace, name, uid } = pod.metadata;
  const query = new URLSearchParams({ pod: `${namespace}/${name}`, podUid: uid });
  try {
    return (await context.client.get<KubeEventList>(`/api/v1/journal/kube-events?${query}`)).items;
  } catch (error) {
    if (error instanceof CommandError && error.exitCode === 1) return undefined;
    throw error;
  }
}
