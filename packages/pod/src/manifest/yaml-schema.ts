// SPDX-License-Identifier: Apache-2.0

import { Schema } from "yaml";
import type { ScalarTag, Tags } from "yaml";

/** `0o17`: YAML 1.2's octal, which kubectl's reader takes beside YAML 1.1's `017`. */
const octal: ScalarTag = {
  tag: "tag:yaml.org,2002:int",
  default: true,
  format: "OCT",
  identify: () => false,
  test: /^[-+]?0o[0-7_]+$/,
  resolve: (text) => {
    const digits = Number.parseInt(text.replaceAll(/[_+-]|0o/g, ""), 8);
    return text.startsWith("-") ? -digits : digits;
  },
};

/** Types of YAML 1.1 that kubectl's reader leaves as text (base-60 numbers, dates) or that have no JSON form. */
const NOT_READ = new Set(["binary", "omap", "pairs", "set", "timestamp", "intTime", "floatTime"]);
const NOT_READ_TAGS = /:(?:binary|omap|pairs|set|timestamp)$/;

function asKubectlReads(tags: Tags): Tags {
  const kept = tags.filter((tag) =>
    typeof tag === "string"
      ? !NOT_READ.has(tag)
      : !NOT_READ_TAGS.test(tag.tag) && !("format" in tag && tag.format === "TIME"),
  );
  return [octal, ...kept];
}

/**
 * YAML 1.1 as kubectl reads it (go-yaml v2): `yes`, `no`, `on`, `off`, `y`, `n` are booleans, `0755` is octal, `1_000` is a number,
 * `<<` merges; `1:30` and `2001-01-01` stay text. A `%YAML` directive changes nothing.
 */
export const kubectlSchema: Schema = new Schema({
  schema: "yaml-1.1",
  customTags: asKubectlReads,
  merge: true,
});
