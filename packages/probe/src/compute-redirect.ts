// SPDX-License-Identifier: Apache-2.0

/** Whether a redirect is followed. Pure. kubelet: RedirectChecker(followNonLocalRedirects = false). */
import { requestTarget, requestText, urlOf } from "./http-request.ts";
import type { HttpRequest } from "./http-request.ts";

/** `undefined`: this response is the answer. A text: the probe fails with it. */
export type Redirect = HttpRequest | string | undefined;

const FOLLOWED: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);
/** Requests made in all before the next one is refused. */
const MAX_REQUESTS = 10;

/** `request` is the one that was answered, `first` the probe's own, `made` how many were made. */
export function computeRedirect(
  response: { readonly status: number; readonly location: string | undefined },
  request: HttpRequest,
  first: HttpRequest,
  made: number,
): Redirect {
  const { status, location } = response;
  if (!FOLLOWED.has(status) || location === undefined || location === "") return undefined;
  const url = URL.canParse(location, urlOf(request)) ? new URL(location, urlOf(request)) : undefined;
  if (url === undefined) return `Get "${urlOf(request)}": failed to parse Location header "${location}"`;
  const host = url.hostname.replace(/^\[|\]$/g, "");
  if (host !== hostnameOf(first)) return undefined;
  if (made >= MAX_REQUESTS) return `Get "${location}": stopped after 10 redirects`;
  if (url.protocol !== "http:" && url.protocol !== "https:")
    return `Get "${location}": unsupported protocol scheme "${url.protocol.slice(0, -1)}"`;
  const secure = url.protocol === "https:";
  const target = requestTarget(`${url.pathname}${url.search}`);
  return {
    secure,
    host: first.host,
    port: url.port === "" ? (secure ? 443 : 80) : Number(url.port),
    target,
    headers: first.headers,
    text: requestText(target, first.headers),
  };
}

/** In the form that URLs are brought into. */
function hostnameOf(request: HttpRequest): string {
  const url = urlOf(request);
  return URL.canParse(url) ? new URL(url).hostname.replace(/^\[|\]$/g, "") : request.host;
}
