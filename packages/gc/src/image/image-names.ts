// SPDX-License-Identifier: Apache-2.0

/** Pure: names of images. */

/** `busybox` is `docker.io/library/busybox:latest`; ids and digests stay as they are. */
export function normalizeImageName(name: string): string {
  if (name === "" || name.startsWith("sha256:")) return name;
  const slash = name.indexOf("/");
  const first = slash < 0 ? "" : name.slice(0, slash);
  const hasHost = first.includes(".") || first.includes(":") || first === "localhost";
  const full = hasHost ? name : `docker.io/${slash < 0 ? "library/" : ""}${name}`;
  const last = full.slice(full.lastIndexOf("/") + 1);
  return last.includes(":") || last.includes("@") ? full : `${full}:latest`;
}

/** What an image is called: its id, its tags, its digests. */
export interface ImageNames {
  readonly id: string;
  readonly repoTags: readonly string[];
  readonly repoDigests: readonly string[];
}

/** All names, normalised, the id first. */
export function allNames({ id, repoTags, repoDigests }: ImageNames): readonly string[] {
  return [id, ...[...repoTags, ...repoDigests].map(normalizeImageName)];
}

/** What a person reads: the first tag, else the first digest, else the id. */
export function shownName({ id, repoTags, repoDigests }: ImageNames): string {
  return repoTags[0] ?? repoDigests[0] ?? id;
}

/** Whether `text` matches a glob in which `*` is any text, also with slashes, and `?` one character. Linear in both. */
export function matchesGlob(glob: string, text: string): boolean {
  let at = 0;
  let inGlob = 0;
  let star = -1;
  let resume = 0;
  while (at < text.length) {
    if (glob[inGlob] === "*") {
      star = inGlob++;
      resume = at;
    } else if (inGlob < glob.length && (glob[inGlob] === "?" || glob[inGlob] === text[at])) {
      inGlob++;
      at++;
    } else if (star >= 0) {
      inGlob = star + 1;
      at = ++resume;
    } else return false;
  }
  while (glob[inGlob] === "*") inGlob++;
  return inGlob === glob.length;
}
