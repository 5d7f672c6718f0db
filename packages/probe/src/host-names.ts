// SPDX-License-Identifier: Apache-2.0

/** What the files of a resolver say. Pure: the texts are given. */

/** How names are asked for. From resolv.conf. */
export interface ResolverSettings {
  readonly search: readonly string[];
  /** A name with fewer dots is tried with the search list first. */
  readonly ndots: number;
}

const MAX_SEARCH = 6;
const MAX_NDOTS = 15;

/** Addresses of `name` in the text of a hosts file; `localhost` needs none. */
export function hostsFileAddresses(text: string, name: string): readonly string[] {
  const wanted = name.toLowerCase().replace(/\.$/, "");
  const found: string[] = [];
  for (const line of text.split("\n")) {
    const [address, ...names] = line.replace(/#.*/, "").trim().split(/\s+/);
    if (address !== undefined && address !== "" && names.some((one) => one.toLowerCase() === wanted))
      found.push(address);
  }
  if (found.length === 0 && (wanted === "localhost" || wanted.endsWith(".localhost"))) return ["127.0.0.1"];
  return found;
}

/** Reads the search list and `ndots`. The last of several lines holds, as in resolv.conf(5). */
export function parseResolverSettings(text: string): ResolverSettings {
  let search: readonly string[] = [];
  let ndots = 1;
  for (const line of text.split("\n")) {
    const [word, ...rest] = line.trim().split(/\s+/);
    if (word === "search" || word === "domain") search = rest.slice(0, MAX_SEARCH);
    if (word !== "options") continue;
    for (const option of rest) {
      const value = /^ndots:(\d+)$/.exec(option)?.[1];
      if (value !== undefined) ndots = Math.min(Number(value), MAX_NDOTS);
    }
  }
  return { search, ndots };
}

/** The names to ask for, in order. */
export function candidateNames(name: string, { search, ndots }: ResolverSettings): readonly string[] {
  if (name.endsWith(".")) return [name.slice(0, -1)];
  const dots = name.split(".").length - 1;
  const searched = search.filter((domain) => domain !== ".").map((domain) => `${name}.${domain}`);
  return dots >= ndots ? [name, ...searched] : [...searched, name];
}
