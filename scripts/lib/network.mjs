// SPDX-License-Identifier: Apache-2.0
/* The pods' network of one instance: a bridge with a name and a subnet of its own. */
import { networkInterfaces } from "node:os";
import { createHash } from "node:crypto";
import { readText } from "./host.mjs";
import { SetupError } from "./say.mjs";

const FIRST = 88;
const LAST = 254;

/** "10.1.2.3" as a number. */
function ipv4ToNumber(address) {
  return address.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);
}

/**
 * All networks that this machine routes or has an address in, as [first, last] pairs of numbers. The default route covers everything and
 * is no reason to avoid a subnet.
 */
export function usedNetworks(routeTable = readText("/proc/net/route"), interfaces = networkInterfaces()) {
  const used = [];
  for (const line of routeTable.split("\n").slice(1)) {
    const fields = line.split("\t");
    if (fields.length < 8 || fields[1] === "00000000") continue;
    // The kernel prints these as little-endian hex words.
    const number = (hex) => Buffer.from(hex, "hex").readUInt32LE();
    const [base, mask] = [number(fields[1]), number(fields[7])];
    used.push([base, base + (0xffffffff - mask)]);
  }
  for (const entry of Object.values(interfaces).flat()) {
    if (entry?.family !== "IPv4") continue;
    const [address, mask] = [ipv4ToNumber(entry.address), ipv4ToNumber(entry.netmask)];
    const base = address - (address % (0x100000000 - mask));
    used.push([base, base + (0xffffffff - mask)]);
  }
  return used;
}

/** A free /24 between 10.88.0.0 and 10.254.255.0, the same one for the same seed while it is free. */
export function chooseSubnet(seed, used = usedNetworks()) {
  const count = (LAST - FIRST + 1) * 256;
  const start = createHash("sha256").update(seed).digest().readUInt32BE() % count;
  for (let step = 0; step < count; step++) {
    const index = (start + step) % count;
    const subnet = `10.${FIRST + Math.floor(index / 256)}.${index % 256}`;
    const base = ipv4ToNumber(`${subnet}.0`);
    if (!used.some(([first, last]) => first <= base + 255 && base <= last)) return `${subnet}.0/24`;
  }
  throw new SetupError(
    "no free /24 between 10.88.0.0 and 10.254.255.255 for the pods",
    "see `ip route` for what takes them",
  );
}

/** The CNI network: bridge, host-local addresses, hostPorts. `name` also marks our iptables rules. */
export function cniConfig({ name, subnet, ipamDir }) {
  const bridge = {
    type: "bridge",
    bridge: name,
    isGateway: true,
    ipMasq: true,
    hairpinMode: true,
    ipam: { type: "host-local", dataDir: ipamDir, ranges: [[{ subnet }]], routes: [{ dst: "0.0.0.0/0" }] },
  };
  const portmap = { type: "portmap", capabilities: { portMappings: true } };
  return `${JSON.stringify({ cniVersion: "0.4.0", name, plugins: [bridge, portmap] }, null, 2)}\n`;
}
