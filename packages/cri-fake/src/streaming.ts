// SPDX-License-Identifier: Apache-2.0
//
// What an Exec, Attach or PortForward gives to a client that comes to its URL. The wire is the business of whoever serves the URL.

/** A client's side of a command. */
export interface CommandStreams {
  /** Aborted when the client goes. */
  readonly signal: AbortSignal;
  readonly write: (stream: "stdout" | "stderr", bytes: Uint8Array) => void;
  /** `take` gets what the client sends from now on; undefined is its end. */
  readonly onInput: (take: (bytes: Uint8Array | undefined) => void) => void;
}

/** A command in a container, or the container's main process. */
export interface CommandSession {
  readonly kind: "exec" | "attach";
  /** What the client was promised. With `tty` stderr is in stdout. */
  readonly wants: {
    readonly stdin: boolean;
    readonly stdout: boolean;
    readonly stderr: boolean;
    readonly tty: boolean;
  };
  /** Resolves to the exit code. Rejects with what the runtime says when there is no command to be had. */
  readonly run: (streams: CommandStreams) => Promise<number>;
}

/** Ports of a pod. */
export interface ForwardSession {
  readonly kind: "portforward";
  /** Those that were asked for: a client that comes by SPDY names its own. */
  readonly ports: readonly number[];
  /** The address on loopback behind a pod's port. Throws what is wrong when nobody listens there. */
  readonly reach: (port: number) => string;
}

/** Where Exec, Attach and PortForward are served: `streamingServer()`, in real time. */
export interface Streaming {
  /** Returns a URL for one client; it is good for a minute. */
  readonly offer: (session: CommandSession | ForwardSession) => Promise<string>;
  /** Cuts all clients off. */
  readonly close: () => Promise<void>;
}
