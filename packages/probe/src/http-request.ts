// SPDX-License-Identifier: Apache-2.0

/** The request of an HTTP probe, as text. Pure. kubelet: formatURL, v1HeaderToHTTPHeader, NewProbeRequest. */
import type { Probe } from "@holdfast/core/pod-types";

/** Where a request goes and what is sent there. Made once and sent many times. */
export interface HttpRequest {
  readonly secure: boolean;
  /** An address or a name, without brackets. */
  readonly host: string;
  readonly port: number;
  /** Path and query, escaped. */
  readonly target: string;
  /** All header lines, `Host` among them; the same after a redirect. */
  readonly headers: string;
  /** What goes over the wire. */
  readonly text: string;
}

/** What is sent as User-Agent unless the probe says otherwise. */
export const DEFAULT_USER_AGENT = "kube-probe/1.36";

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const BAD_PERCENT = /%(?![0-9a-fA-F]{2})/;
/** What Go leaves as it is in a path and in a query. */
const PATH_ESCAPES = /[^A-Za-z0-9\-_.~$&+,/:;=@%!'()*[\]]/gu;
const QUERY_ESCAPES = /[^\x21-\x7e]|["<>]/gu;
// oxlint-disable-next-line no-control-regex -- these are what must not be in a header
const BAD_VALUE = /[\u0000-\u0008\u000a-\u001f\u007f]/;
/** Written by the client itself. */
const OWN_HEADERS: ReadonlySet<string> = new Set([
  "Host",
  "User-Agent",
  "Content-Length",
  "Transfer-Encoding",
  "Trailer",
]);

/** The request, or why there can be none: then every probe fails with that text, as it does in Go's client. */
export function buildHttpRequest(
  httpGet: NonNullable<Probe["httpGet"]>,
  host: string,
  port: number,
  userAgent: string = DEFAULT_USER_AGENT,
): HttpRequest | string {
  const secure = (httpGet.scheme ?? "HTTP").toLowerCase() === "https";
  const target = requestTarget(httpGet.path ?? "/");
  const headers = headerLines(httpGet.httpHeaders ?? [], authority(host, port), userAgent);
  if (typeof headers !== "string")
    return `Get "${secure ? "https" : "http"}://${authority(host, port)}${target}": ${headers.problem}`;
  return { secure, host, port, target, headers, text: requestText(target, headers) };
}

/** `host:port`, with brackets around IPv6. kubelet: net.JoinHostPort. */
export function authority(host: string, port: number): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/** The URL, as errors show it. */
export function urlOf(request: HttpRequest): string {
  return `${request.secure ? "https" : "http"}://${authority(request.host, request.port)}${request.target}`;
}

/** What goes over the wire. */
export function requestText(target: string, headers: string): string {
  return `GET ${target} HTTP/1.1\r\n${headers}\r\n`;
}

/** Path and query of a URL reference, escaped; what is none is a path as a whole. */
export function requestTarget(path: string): string {
  const escapePath = (text: string): string => {
    const escaped = text.replace(PATH_ESCAPES, escapeByte);
    return escaped.startsWith("/") ? escaped : `/${escaped}`;
  };
  const [reference = ""] = path.split("#", 1);
  const question = reference.indexOf("?");
  const before = question === -1 ? reference : reference.slice(0, question);
  if (BAD_PERCENT.test(before)) return escapePath(path.replaceAll("%", "%25"));
  const query = question === -1 ? "" : reference.slice(question).replace(QUERY_ESCAPES, escapeByte);
  return `${escapePath(before)}${query}`;
}

function escapeByte(character: string): string {
  let text = "";
  for (const byte of new TextEncoder().encode(character))
    text += `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  return text;
}

function headerLines(
  given: readonly { readonly name: string; readonly value: string }[],
  host: string,
  userAgent: string,
): string | { readonly problem: string } {
  const headers = new Map<string, string[]>();
  for (const { name, value } of given) {
    if (!TOKEN.test(name)) return { problem: `net/http: invalid header field name "${name}"` };
    if (BAD_VALUE.test(value))
      return { problem: `net/http: invalid header field value for "${canonicalName(name)}"` };
    const key = canonicalName(name);
    const values = headers.get(key);
    if (values === undefined) headers.set(key, [value]);
    else values.push(value);
  }
  const first = (name: string): string | undefined => headers.get(name)?.[0];
  const lines = [`Host: ${first("Host") || host}`];
  const agent = first("User-Agent") ?? userAgent;
  if (agent !== "") lines.push(`User-Agent: ${agent}`);
  if (!headers.has("Accept")) headers.set("Accept", ["*/*"]);
  else if (first("Accept") === "") headers.delete("Accept");
  for (const [name, values] of [...headers].sort(([a], [b]) => (a < b ? -1 : 1)))
    if (!OWN_HEADERS.has(name)) for (const value of values) lines.push(`${name}: ${value.trim()}`);
  if (!headers.get("Connection")?.some((value) => value.toLowerCase() === "close"))
    lines.push("Connection: close");
  return `${lines.join("\r\n")}\r\n`;
}

/** `x-forwarded-for` becomes `X-Forwarded-For`. */
function canonicalName(name: string): string {
  return name.toLowerCase().replace(/(^|-)[a-z]/g, (letter) => letter.toUpperCase());
}
