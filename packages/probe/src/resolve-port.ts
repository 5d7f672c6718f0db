// SPDX-License-Identifier: Apache-2.0

import type { Container } from "@holdfast/core/pod-types";

const MAX_PORT = 65_535;

/** The port's number, or why there is none. kubelet: ResolveContainerPort. */
export function resolvePort(
  port: number | string,
  container: Pick<Container, "name" | "ports">,
): number | string {
  let number = typeof port === "number" ? port : Number.NaN;
  if (typeof port === "string") {
    const named = container.ports?.find(({ name }) => name !== undefined && name === port);
    if (named !== undefined) number = named.containerPort;
    else if (/^[-+]?\d+$/.test(port)) number = Number(port);
    else return `port "${port}" is neither a port name of container ${container.name} nor a number`;
  }
  return Number.isInteger(number) && number > 0 && number <= MAX_PORT
    ? number
    : `invalid port number: ${number}`;
}
