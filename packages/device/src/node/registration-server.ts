// SPDX-License-Identifier: Apache-2.0

/**
 * `kubelet.sock` in the plugin folder, where plugins register. kubelet: plugin/v1beta1 server.
 *
 * Owns: the socket. Invariants: it is a fresh inode at each start, for that is how plugins see that they must register; plugins' own sockets are left
 * alone (the kubelet removes every socket in the folder); an answer's error text is what the plugin's author reads. Lost on a crash: registrations.
 */
import { join } from "node:path";
import { status } from "@grpc/grpc-js";
import { errorText } from "@holdfast/core/errors";
import type { Component, Health } from "@holdfast/core/lifecycle";
import { silentLogger } from "@holdfast/core/log";
import type { Logger } from "@holdfast/core/log";
import { RegistrationService } from "../gen/deviceplugin/v1beta1/deviceplugin.ts";
import type { RegistrationServer as Handlers } from "../gen/deviceplugin/v1beta1/deviceplugin.ts";
import type { RegisterRequest } from "../plugin-registry.ts";
import { UnixServer } from "./unix-server.ts";

/** kubelet: pluginapi.DevicePluginPath. It does not move with the root folder. */
export const DEVICE_PLUGIN_FOLDER = "/var/lib/kubelet/device-plugins";
/** kubelet: pluginapi.KubeletSocket. */
export const KUBELET_SOCKET = "kubelet.sock";

/** How a server is made. */
export interface RegistrationServerOptions {
  /** Default {@link DEVICE_PLUGIN_FOLDER}. */
  readonly folder?: string;
  /** The manager. What it rejects with is what the plugin is told. */
  readonly manager: { register(request: RegisterRequest): Promise<void> };
  readonly logger?: Logger;
}

/** See the top of the file. */
export class RegistrationServer implements Component {
  readonly name = "device-plugin";
  readonly path: string;
  readonly #server: UnixServer;
  readonly #logger: Logger;
  #problem: string | undefined;

  constructor(options: RegistrationServerOptions) {
    this.path = join(options.folder ?? DEVICE_PLUGIN_FOLDER, KUBELET_SOCKET);
    this.#logger = options.logger ?? silentLogger;
    const handlers: Handlers = {
      register: (call, reply) => {
        const { version, endpoint, resourceName } = call.request;
        options.manager.register({ version, endpoint, resourceName }).then(
          () => reply(null, {}),
          (error: unknown) => reply({ code: status.UNKNOWN, details: errorText(error) }),
        );
      },
    };
    this.#server = new UnixServer({
      path: this.path,
      services: (server) => server.addService(RegistrationService, handlers),
    });
  }

  /** A socket that cannot be made is told in health; pods that want no devices run all the same. */
  async start(): Promise<void> {
    try {
      await this.#server.start();
      this.#problem = undefined;
    } catch (error) {
      this.#problem = `device plugins cannot register: ${errorText(error)}`;
      this.#logger.error("device plugins cannot register", { socket: this.path, err: errorText(error) });
    }
  }

  async stop(): Promise<void> {
    await this.#server.stop();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  /** kubelet: health checker "device-plugin". */
  health(): Health {
    return { failures: this.#problem === undefined ? [] : [this.#problem] };
  }
}
