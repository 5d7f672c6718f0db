// SPDX-License-Identifier: Apache-2.0

/**
 * Names of hosts to addresses, without the thread pool: `getaddrinfo` holds one of its few threads for as long as a name server is silent, and
 * the agent's file operations would wait behind probes of a name that does not resolve.
 *
 * Owns: the questions under way, one per name. Reads: /etc/hosts and /etc/resolv.conf, again at each question.
 */
import { Resolver } from "node:dns/promises";
import { readFileSync } from "node:fs";
import { isIP } from "node:net";
import type { LookupFunction } from "node:net";
import { candidateNames, hostsFileAddresses, parseResolverSettings } from "../host-names.ts";

/** By c-ares, per name server and try. */
const TIMEOUT_MS = 2000;
const TRIES = 2;
/** More are answered with an error: nothing here may grow without a limit. */
const MAX_UNDER_WAY = 256;

const underWay = new Map<string, Promise<readonly string[]>>();

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    // A machine without it has no such names.
    return "";
  }
}

function lookupError(code: string, host: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`lookup ${host}: ${code}`), { code, syscall: "getaddrinfo" });
}

async function ask(name: string): Promise<readonly string[]> {
  const resolver = new Resolver({ timeout: TIMEOUT_MS, tries: TRIES });
  let code = "ENOTFOUND";
  for (const candidate of candidateNames(name, parseResolverSettings(readText("/etc/resolv.conf")))) {
    const answers = await Promise.allSettled([resolver.resolve4(candidate), resolver.resolve6(candidate)]);
    const found = answers.flatMap((answer) => (answer.status === "fulfilled" ? answer.value : []));
    if (found.length > 0) return found;
    for (const answer of answers) {
      const why = answer.status === "rejected" ? (answer.reason as NodeJS.ErrnoException).code : undefined;
      if (why !== undefined && why !== "ENOTFOUND" && why !== "ENODATA") code = "EAI_AGAIN";
    }
  }
  throw lookupError(code, name);
}

async function resolveHost(name: string): Promise<readonly string[]> {
  if (isIP(name) !== 0) return [name];
  const fromFile = hostsFileAddresses(readText("/etc/hosts"), name);
  if (fromFile.length > 0) return fromFile;
  const known = underWay.get(name);
  if (known !== undefined) return await known;
  if (underWay.size >= MAX_UNDER_WAY) throw lookupError("EAI_AGAIN", name);
  const asked = ask(name);
  underWay.set(name, asked);
  try {
    return await asked;
  } finally {
    underWay.delete(name);
  }
}

/** For the `lookup` option of a socket. */
export const lookupHost: LookupFunction = (name, options, callback) => {
  const answer = async (): Promise<void> => {
    let found: readonly string[];
    try {
      found = await resolveHost(name);
    } catch (error) {
      callback(error as NodeJS.ErrnoException, options.all === true ? [] : "");
      return;
    }
    const addresses = found.map((address) => ({ address, family: isIP(address) }));
    const [first = { address: "", family: 0 }] = addresses;
    if (options.all === true) callback(null, addresses);
    else callback(null, first.address, first.family);
  };
  void answer();
};
