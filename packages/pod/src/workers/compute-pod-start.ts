// SPDX-License-Identifier: Apache-2.0

/** Which pods may start beside their namesakes. Pure. kubelet: allowPodStart, allowStaticPodStart. */

/** What counts of a pod when names are given out. In order of arrival. */
export interface NameClaim {
  readonly uid: string;
  /** Undefined for a pod that shares its name with anybody, as pods of the API do. */
  readonly exclusiveName: string | undefined;
  /** It has started, or was found alive: it has the name. */
  readonly started: boolean;
  /** It gives the name up: it ended before it started, or nothing of it runs and the rest cannot be removed. */
  readonly released: boolean;
}

/** The UID that `uid` has to wait for; undefined when it may start. First in, first out. */
export function computeNameHolder(uid: string, claims: Iterable<NameClaim>): string | undefined {
  let own: NameClaim | undefined;
  const others: (NameClaim & { readonly before: boolean })[] = [];
  for (const claim of claims) {
    if (claim.uid === uid) own = claim;
    else if (claim.exclusiveName !== undefined && !claim.released)
      others.push({ ...claim, before: own === undefined });
  }
  if (own?.exclusiveName === undefined || own.started) return undefined;
  const name = own.exclusiveName;
  const rivals = others.filter((claim) => claim.exclusiveName === name);
  return (rivals.find(({ started }) => started) ?? rivals.find(({ before }) => before))?.uid;
}
