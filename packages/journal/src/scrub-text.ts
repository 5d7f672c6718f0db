// SPDX-License-Identifier: Apache-2.0

/** Pure: takes out of free text what looks like a secret. A net below the rules by field, not their replacement. */

/** Stands where something was taken out. */
export const REDACTED = "[redacted]";

/** Cheap look first: most texts have none of these. */
const SUSPICIOUS = /:\/\/[^\s/]*@|bearer|basic|passw|secret|token|[-_ ]?key|credential|-----BEGIN/i;
const URL_CREDENTIALS = /([a-z][a-z0-9+.-]{0,20}:\/\/)[^\s/@]{1,400}@/gi;
const AUTH_SCHEME = /\b(Bearer|Basic)\s+[\w.~+/=-]{6,}/gi;
const ASSIGNMENT =
  /([\w-]{0,40}(?:passw(?:or)?d|secret|token|api[-_]?key|access[-_]?key|private[-_]?key|credential)[\w-]{0,40}["']?\s{0,3}[=:]\s{0,3})("[^"]*"?|'[^']*'?|[^\s,;&"']+)/gi;
const PEM = /-----BEGIN [A-Z ]{1,40}-----[\s\S]*?(?:-----END [A-Z ]{1,40}-----|$)/g;

/** `text`, at most `maxLength` characters of it, without credentials in URLs, authorization values, `password=…` and keys. */
export function scrubText(text: string, maxLength: number): string {
  const cut = text.length > maxLength ? `${text.slice(0, maxLength)}… (${text.length} characters)` : text;
  if (!SUSPICIOUS.test(cut)) return cut;
  return cut
    .replace(PEM, REDACTED)
    .replace(URL_CREDENTIALS, `$1${REDACTED}@`)
    .replace(AUTH_SCHEME, `$1 ${REDACTED}`)
    .replace(ASSIGNMENT, (whole, before: string, value: string) =>
      value.startsWith(REDACTED) || /^(?:Bearer|Basic)$/i.test(value) ? whole : `${before}${REDACTED}`,
    );
}
