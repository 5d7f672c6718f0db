// SPDX-License-Identifier: Apache-2.0

/** Kubernetes' rules for names and its sentences about them. kubelet: apimachinery/pkg/util/validation, util/validation/field. */

const LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const SUBDOMAIN = `${LABEL}(\\.${LABEL})*`;
const QUALIFIED = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const CAPS = /^[A-Z][A-Z0-9_]*$/;

const SUBDOMAIN_PATTERN = new RegExp(`^${SUBDOMAIN}$`);
const LABEL_PATTERN = new RegExp(`^${LABEL}$`);
const QUALIFIED_PATTERN = new RegExp(`^${QUALIFIED}$`);

/** Longest value that is printed. */
const MAX_SHOWN = 40;

/** A value for a message: quoted and cut short. */
export function shown(value: unknown): string {
  const text = typeof value === "string" ? value : String(value);
  const cut = text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text;
  return typeof value === "string" ? JSON.stringify(cut) : cut;
}

export const requiredValue = (detail = ""): string => `Required value${detail === "" ? "" : `: ${detail}`}`;
export const invalidValue = (value: unknown, detail: string): string =>
  `Invalid value: ${shown(value)}: ${detail}`;
export const duplicateValue = (value: unknown): string => `Duplicate value: ${shown(value)}`;
export const notFound = (value: unknown): string => `Not found: ${shown(value)}`;
export const forbidden = (detail: string): string => `Forbidden: ${detail}`;
export const unsupportedValue = (value: unknown, values: readonly string[]): string =>
  `Unsupported value: ${shown(value)}: supported values: ${values.map((item) => JSON.stringify(item)).join(", ")}`;

const maxLength = (limit: number): string => `must be no more than ${limit} characters`;

/** What is wrong with a DNS-1123 label; nothing when it is one. */
export function dnsLabelProblems(value: string): readonly string[] {
  const problems = value.length > 63 ? [maxLength(63)] : [];
  if (!LABEL_PATTERN.test(value))
    problems.push(
      "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an " +
        `alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '${LABEL}')`,
    );
  return problems;
}

/** What is wrong with a DNS-1123 subdomain. */
export function dnsSubdomainProblems(value: string): readonly string[] {
  const problems = value.length > 253 ? [maxLength(253)] : [];
  if (!SUBDOMAIN_PATTERN.test(value))
    problems.push(
      "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end " +
        `with an alphanumeric character (e.g. 'example.com', regex used for validation is '${SUBDOMAIN.replaceAll("\\\\", "\\")}')`,
    );
  return problems;
}

/** What is wrong with the key of a label or annotation. */
export function qualifiedNameProblems(key: string): readonly string[] {
  const slash = key.lastIndexOf("/");
  const name = key.slice(slash + 1);
  const problems: string[] = [];
  if (slash >= 0) {
    const prefix = key.slice(0, slash);
    if (prefix === "") problems.push("prefix part must be non-empty");
    else problems.push(...dnsSubdomainProblems(prefix).map((problem) => `prefix part ${problem}`));
  }
  if (name === "") problems.push("name part must be non-empty");
  else if (name.length > 63) problems.push(`name part ${maxLength(63)}`);
  if (name !== "" && !QUALIFIED_PATTERN.test(name))
    problems.push(
      "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character " +
        `(e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '${QUALIFIED}')`,
    );
  return problems;
}

/** What is wrong with the value of a label. */
export function labelValueProblems(value: string): readonly string[] {
  const problems = value.length > 63 ? [maxLength(63)] : [];
  if (value !== "" && !QUALIFIED_PATTERN.test(value))
    problems.push(
      "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an " +
        `alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(${QUALIFIED})?')`,
    );
  return problems;
}

/** What is wrong with the name of a port. kubelet: IsValidPortName. */
export function portNameProblems(name: string): readonly string[] {
  const problems: string[] = name.length > 15 ? [maxLength(15)] : [];
  if (!/^[-a-z0-9]+$/.test(name))
    problems.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)");
  if (!/[a-z]/.test(name)) problems.push("must contain at least one letter (a-z)");
  if (name.includes("--")) problems.push("must not contain consecutive hyphens");
  if (name.startsWith("-") || name.endsWith("-")) problems.push("must not begin or end with a hyphen");
  return problems;
}

/** What is wrong with the name of an environment variable. kubelet: IsRelaxedEnvVarName. */
export function envNameProblems(name: string): readonly string[] {
  return /^[\u0020-\u003c\u003e-\u007e]+$/.test(name)
    ? []
    : ["a valid environment variable name must consist only of printable ASCII characters other than '='"];
}

/** What is wrong with a capability: `NET_ADMIN`, also with CAP_ before it, or ALL. */
export function capabilityProblems(name: string): readonly string[] {
  return CAPS.test(name)
    ? []
    : ["must be the name of a capability in capitals, like NET_BIND_SERVICE, or ALL"];
}

/** Whether the text is an IPv4 or IPv6 address. kubelet: IsValidIP. */
export function isIpAddress(text: string): boolean {
  return isIpv4(text) || isIpv6(text);
}

function isIpv4(text: string): boolean {
  const parts = text.split(".");
  return (
    parts.length === 4 && parts.every((part) => /^(?:0|[1-9]\d{0,2})$/.test(part) && Number(part) <= 255)
  );
}

function isIpv6(text: string): boolean {
  const halves = text.split("::");
  if (halves.length > 2 || !text.includes(":")) return false;
  const groups = halves.flatMap((half) => (half === "" ? [] : half.split(":")));
  let count = groups.length;
  const last = groups.at(-1);
  if (last?.includes(".")) {
    if (!isIpv4(last)) return false;
    groups.pop();
    count++;
  }
  if (!groups.every((group) => /^[0-9a-fA-F]{1,4}$/.test(group))) return false;
  return halves.length === 2 ? count < 8 : count === 8;
}
