// SPDX-License-Identifier: Apache-2.0
//
// A StartContainer whose caller dies is cancelled inside containerd. Now and then it then forgets to delete the task that it had made: the CRI
// says that the container has exited (StartError), and refuses to remove it for ever, because a task is still there. Only containerd's own task
// service can help. Removing means removing, also what runs, so both calls that remove do it by themselves.

import { errorText, isNotFound } from "@holdfast/core/errors";
import type { Logger } from "@holdfast/core/log";

import type { Connection } from "./connection.ts";
import { leftTaskOf } from "./errors.ts";
import {
  DeleteResponse,
  DeleteTaskRequest,
  KillRequest,
  KillResponse,
  TasksService,
  WaitRequest,
  WaitResponse,
} from "./gen/containerd/services/tasks/v1/tasks.ts";
import { method } from "./method.ts";
import type { CriCallOptions, CriRuntimeService, CriUnary } from "./services.ts";

const SIGKILL = 9;
/** For each step; a process that SIGKILL does not end (state D) must not hold the removal longer. */
const DEADLINE_MS = 10_000;
/** A sandbox may hold several such containers; each refusal names one. */
const MAX_TASKS = 8;

const traits = {
  target: (request: { readonly containerId?: string | undefined }) => request.containerId,
  // The namespace in which containerd's CRI plugin keeps everything.
  headers: { "containerd-namespace": "k8s.io" },
};
const kill = method(TasksService.kill, "containerd_task_kill", KillRequest, KillResponse, traits);
const wait = method(TasksService.wait, "containerd_task_wait", WaitRequest, WaitResponse, traits);
const remove = method(
  TasksService.delete,
  "containerd_task_delete",
  DeleteTaskRequest,
  DeleteResponse,
  traits,
);

/** `service`, whose removals take a left task away and try again. */
export function removingLeftTasks(
  service: CriRuntimeService,
  connection: Connection,
  logger: Logger,
): CriRuntimeService {
  const wrap =
    <Request, Response>(call: CriUnary<Request, Response>): CriUnary<Request, Response> =>
    async (request, options = {}) => {
      for (let left = MAX_TASKS; ; left--) {
        try {
          return await call(request, options);
        } catch (error) {
          const containerId = leftTaskOf(error);
          if (containerId === undefined || left === 0) throw error;
          logger.warn("containerd left a task behind; it is removed", { containerId });
          await removeTask(connection, containerId, options, logger);
        }
      }
    };
  return {
    ...service,
    removeContainer: wrap(service.removeContainer),
    removePodSandbox: wrap(service.removePodSandbox),
  };
}

/** Ends and deletes the task. What is gone is fine; a failure shows in the removal that follows. */
async function removeTask(
  connection: Connection,
  containerId: string,
  { signal }: CriCallOptions,
  logger: Logger,
): Promise<void> {
  const options = { signal, deadlineMs: DEADLINE_MS };
  const steps = [
    () => connection.unary(kill, { containerId, signal: SIGKILL, all: true }, options),
    () => connection.unary(wait, { containerId }, options),
    () => connection.unary(remove, { containerId }, options),
  ];
  for (const step of steps) {
    try {
      await step();
    } catch (error) {
      signal?.throwIfAborted();
      // One that has ended cannot be killed: then it only has to be deleted.
      if (!isNotFound(error)) logger.warn("removing a left task", { containerId, err: errorText(error) });
    }
  }
}
