// SPDX-License-Identifier: Apache-2.0

import type { InterfaceStats } from "../summary.ts";
import { badFormat, parseCount } from "./parse-count.ts";

const HEAD_LINES = 2;
/** Fields of a line after the name: bytes, packets, errs, ... received, then the same sent. */
const RX_BYTES = 0;
const RX_ERRORS = 2;
const TX_BYTES = 8;
const TX_ERRORS = 10;
const FIELDS = 11;
/** More interfaces than one network can sensibly have are cut off. */
const MAX_INTERFACES = 1024;

/** /proc/PID/net/dev. The loopback is left out, as the kubelet does; `skip` leaves out more. */
export function parseNetDev(
  text: string,
  file: string,
  skip: (name: string) => boolean = () => false,
): InterfaceStats[] {
  const interfaces: InterfaceStats[] = [];
  for (const line of text.split("\n").slice(HEAD_LINES)) {
    if (line.trim() === "") continue;
    // A name may have a colon of its own: the last one before the figures counts.
    const colon = line.lastIndexOf(":");
    const name = line.slice(0, Math.max(colon, 0)).trim();
    if (name === "") throw badFormat(file, line);
    if (name === "lo" || skip(name)) continue;
    const fields = line.slice(colon + 1).match(/\S+/g) ?? [];
    if (fields.length < FIELDS) throw badFormat(file, line);
    const at = (index: number): number => parseCount(fields[index] ?? "", file);
    interfaces.push({
      name,
      rxBytes: at(RX_BYTES),
      rxErrors: at(RX_ERRORS),
      txBytes: at(TX_BYTES),
      txErrors: at(TX_ERRORS),
    });
    if (interfaces.length >= MAX_INTERFACES) break;
  }
  return interfaces;
}

/** The interface of the default route in /proc/PID/net/route; undefined without one. */
export function parseDefaultInterface(text: string): string | undefined {
  for (const line of text.split("\n").slice(1)) {
    const [name, destination, , , , , , mask] = line.split("\t");
    if (destination === "00000000" && mask?.trim() === "00000000") return name?.trim();
  }
  return undefined;
}
