// SPDX-License-Identifier: Apache-2.0
import { ManualClock } from "@holdfast/core/manual-clock";
import { ApiServerSink, StatusManager, StatusSinkError } from "@holdfast/status";
import type { ApiPod, ApiServerSinkOptions, StatusUpdate } from "@holdfast/status";
import { NodeHttp } from "@holdfast/status/node";
import { options, pod, record, runtime } from "../builders.ts";
import { FakeApiServer } from "./fake-api-server.ts";

const never = new AbortController().signal;

/** A manager, the sink and a server between them, over a real connection. */
export async function apiRig(more: Partial<ApiServerSinkOptions> = {}) {
  const server = new FakeApiServer();
  const http = new NodeHttp({ baseUrl: await server.start(), token: () => "secret", maxBodyBytes: 100_000 });
  const clock = new ManualClock();
  const manager = new StatusManager({ clock });
  const sink = new ApiServerSink({ http, clock, ...more });
  const ofApi: ApiPod = pod("Never", ["a"], [], { source: "api" });
  const update = (): StatusUpdate => {
    const [one] = manager.all();
    if (one?.pod === undefined) throw new Error("no status yet");
    return { ...one, pod: one.pod, removed: false };
  };
  const runs = (of: ApiPod = ofApi): StatusUpdate => {
    manager.update(of, runtime([record("a")]), options());
    return update();
  };
  return {
    server,
    http,
    clock,
    manager,
    sink,
    ofApi,
    update,
    runs,
    shown: () => server.pods.get("default/web")?.status,
    write: (of: StatusUpdate = update()) => sink.write(of, never),
    async [Symbol.asyncDispose]() {
      http[Symbol.dispose]();
      await server[Symbol.asyncDispose]();
    },
  };
}

/** What `work` fails with. */
export const failure = async (work: Promise<unknown>): Promise<StatusSinkError> => {
  const error: unknown = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error instanceof StatusSinkError) return error;
  throw new Error(`no StatusSinkError: ${String(error)}`);
};
