// SPDX-License-Identifier: Apache-2.0

export { FakeRuntime } from "./fake-runtime.ts";
export type { FakeRuntimeOptions, KillOptions } from "./fake-runtime.ts";
export type { FakeContainer, FakeSandbox } from "./views.ts";
export type { ContainerPhase } from "./state.ts";
export type { ImageFs, ImageFsOptions } from "./disk.ts";
export { RuntimeFailure } from "./failure.ts";
export type { RuntimeFailureOptions } from "./failure.ts";
export { FaultScript } from "./faults.ts";
export type {
  Decision,
  Fault,
  FaultEffects,
  FaultError,
  FaultHandle,
  FaultMatch,
  FaultSubject,
} from "./faults.ts";
export { LOCAL_IMAGES } from "./images.ts";
export type { FakeImage, ImageUser } from "./images.ts";
export type { Inside } from "./inside.ts";
export type { Registry } from "./image-service.ts";
export type { LogSink } from "./logs.ts";
export { commandNotFound } from "./program.ts";
export type { ExecAnswer, OutputLine, Program, ProgramQuery, Programs, ServedPort } from "./program.ts";
export { parseScript } from "./script/parse-script.ts";
export type { ScriptOptions } from "./script/parse-script.ts";
export type { Violation } from "./violations.ts";
export type { Loopback, OpenPort } from "./process.ts";
export type { PortState } from "./usage.ts";
export { loopback } from "./shell/loopback.ts";
export { streamingServer } from "./shell/streaming/streaming-server.ts";
export type { CommandSession, CommandStreams, ForwardSession, Streaming } from "./streaming.ts";
export { fileLogSink } from "./shell/file-log-sink.ts";
export { serveFakeRuntime } from "./shell/serve.ts";
export type { ServedFakeRuntime, ServeOptions } from "./shell/serve.ts";
