// SPDX-License-Identifier: Apache-2.0
//
// A script: runtime, images, programs and faults as one YAML or JSON text. Pure.

import { HoldfastError } from "@holdfast/core/errors";
import { seededRandom } from "@holdfast/core/random";
import { LineCounter, parseAllDocuments } from "yaml";
import type { Node } from "yaml";

import type { ImageFsOptions } from "../disk.ts";
import type { FakeRuntimeOptions } from "../fake-runtime.ts";
import type { Fault } from "../faults.ts";
import { normaliseReference } from "../images.ts";
import type { FakeImage } from "../images.ts";
import { programOf } from "./match-program.ts";
import type { ScriptProgram } from "./match-program.ts";
import { SCRIPT } from "./script-shape.ts";
import { readShape } from "./shape.ts";

/** An image of a script: `uid` is a number, `user` a name. */
interface ScriptImage extends Omit<FakeImage, "user"> {
  readonly uid?: number;
  readonly user?: string;
}

/** What a script holds, as it was read. */
interface ScriptFields {
  readonly runtime?: Pick<
    FakeRuntimeOptions,
    | "containerd"
    | "latencyMs"
    | "criLagMs"
    | "streamedLists"
    | "missing"
    | "runtimeName"
    | "addressPrefix"
    | "addresses"
    | "runtimeHandlers"
    | "cgroupDriver"
  > & { readonly seed?: number };
  readonly imageFs?: ImageFsOptions;
  readonly images?: readonly ScriptImage[];
  readonly registry?: readonly ScriptImage[];
  readonly programs?: readonly ScriptProgram[];
  readonly faults?: readonly Fault[];
}

/** A script as options of `FakeRuntime`, all but the clock. */
export type ScriptOptions = Omit<
  FakeRuntimeOptions,
  "clock" | "logSink" | "loopback" | "streaming" | "deadlines"
>;

const MAX_SCRIPT_BYTES = 1_048_576;
const MAX_PROBLEMS = 20;
const ANY_IMAGE = "*";
const DEFAULT_SEED = 1;

/**
 * Reads a script. `file` is what problems name. An empty text is all defaults.
 *
 * @throws HoldfastError `CRI_FAKE_SCRIPT` (bad-input) that lists every problem as `file:line: field: rule`.
 */
export function parseScript(text: string, file: string): ScriptOptions {
  const problems: string[] = [];
  const lines = new LineCounter();
  const say = (offset: number | undefined, field: string, rule: string): void => {
    const { line } = lines.linePos(offset ?? 0);
    problems.push(`${file}:${Math.max(line, 1)}: ${field === "" ? "" : `${field}: `}${rule}`);
  };
  const fields = text.length > MAX_SCRIPT_BYTES ? undefined : readText(text, lines, say);
  if (text.length > MAX_SCRIPT_BYTES) say(0, "", `is larger than ${MAX_SCRIPT_BYTES} bytes`);
  if (problems.length > 0) {
    const more = problems.length - MAX_PROBLEMS;
    const shown = [...problems.slice(0, MAX_PROBLEMS), ...(more > 0 ? [`and ${more} more`] : [])];
    throw new HoldfastError("CRI_FAKE_SCRIPT", "bad-input", `invalid script:\n  ${shown.join("\n  ")}`);
  }
  return toOptions(fields ?? {});
}

function readText(
  text: string,
  lines: LineCounter,
  say: (offset: number | undefined, field: string, rule: string) => void,
): ScriptFields | undefined {
  const documents = parseAllDocuments(text, { lineCounter: lines });
  const [document, second] = [...documents];
  if (document === undefined) return undefined;
  for (const { pos, message } of [...document.errors, ...document.warnings])
    say(pos[0], "", `is not YAML: ${message.replace(/ at line [\s\S]*$/, "")}`);
  if (second !== undefined) say(second.range[0], "", "a script is one document");
  if (document.errors.length > 0 || document.contents === null) return undefined;
  return readShape(document.contents, SCRIPT, "", {
    add: (node: Node | undefined, field, rule) => say(node?.range?.[0], field, rule),
  }) as ScriptFields | undefined;
}

function toOptions({
  runtime = {},
  imageFs,
  images,
  registry = [],
  programs = [],
  faults = [],
}: ScriptFields) {
  const { seed = DEFAULT_SEED, ...rest } = runtime;
  return {
    ...rest,
    random: seededRandom(seed),
    faults,
    programs: programOf(programs),
    registry: registryOf(registry),
    ...(imageFs === undefined ? {} : { imageFs }),
    ...(images === undefined ? {} : { images: images.map(toImage) }),
  } satisfies ScriptOptions;
}

function toImage({ uid, user, ...image }: ScriptImage): FakeImage {
  return { ...image, ...(uid === undefined ? {} : { user: uid }), ...(user === undefined ? {} : { user }) };
}

/** `*` is whatever is asked for. */
function registryOf(images: readonly ScriptImage[]): NonNullable<FakeRuntimeOptions["registry"]> {
  const any = images.find(({ reference }) => reference === ANY_IMAGE);
  return (reference) => {
    const named = images.find((image) =>
      [image.reference, ...(image.tags ?? [])].some((name) => normaliseReference(name) === reference),
    );
    if (named !== undefined) return toImage(named);
    return any === undefined ? undefined : { ...toImage(any), reference };
  };
}
