// SPDX-License-Identifier: Apache-2.0

// Every field of the API is honoured, warned about by name or refused by name. That the honoured ones change what is done is shown by
// apps/agent/test/simulation/honoured-fields.test.ts.
import { describe, expect, it } from "vitest";
import { listPodFields } from "../../src/manifest/list-fields.ts";
import type { PodField } from "../../src/manifest/list-fields.ts";
import { problemsOf, read } from "./build.ts";
import { V1_POD_FIELDS } from "./v1-pod-fields.ts";

const FIELDS = listPodFields();
/** Objects whose parts Holdfast tells apart; an init container has a container's. */
const OBJECTS = ["", ...FIELDS.filter(({ hasParts }) => hasParts).map(({ path }) => path)].filter(
  (path) => !path.startsWith("spec.initContainers[]."),
);
/** Of an older API; manifests that name it are still about. */
const GONE = ["spec.workloadRef"];

function partsOf(path: string): string[] {
  return FIELDS.filter((field) => field.path.slice(0, Math.max(0, field.path.lastIndexOf("."))) === path)
    .filter((field) => !GONE.includes(field.path))
    .map((field) => field.path.slice(field.path.lastIndexOf(".") + 1));
}

/** A list of which the whole is one field may stand in the table without its brackets. */
const bare = (names: readonly string[]): string[] => names.map((name) => name.replace("[]", "")).sort();

describe("the fields of v1.Pod", () => {
  it.each(OBJECTS)("of %j all are known, and no others", (path) => {
    const api = V1_POD_FIELDS[path.replace("spec.initContainers[]", "spec.containers[]")];
    expect(bare(partsOf(path))).toEqual(bare(api?.split(" ") ?? []));
  });

  it("are told apart in every object of the API that is not refused as a whole", () => {
    for (const path of Object.keys(V1_POD_FIELDS)) expect(OBJECTS).toContain(path);
  });

  const named = FIELDS.filter(({ status }) => status !== "honoured");
  it.each(named.map((field) => [field.path, field] as const))("%s is named", (path, field) => {
    const text = JSON.stringify(podWith(path, field));
    const at = path.replaceAll("[]", "[0]").replace(/\[0\]$/, "");
    const line = problemsOf(text).find((problem) => problem.includes(`: ${at}: `));
    const says =
      field.status === "refused"
        ? "error: FIELD: Forbidden: not supported by Holdfast: "
        : "warning: FIELD: has no effect: ";
    expect(line).toContain(says.replace("FIELD", at));
    expect(line?.split(says.slice(-12))[1]?.length).toBeGreaterThan(10);
    if (field.status === "refused") expect(read(text).pods).toEqual([]);
  });
});

/** A pod that is valid but for a value at this path. */
function podWith(path: string, field: PodField): object {
  const pod = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "web" },
    spec: {
      containers: [{ name: "main", image: "a:1" }],
      initContainers: [{ name: "first", image: "a:1" }],
    },
  };
  const steps = path.split(".");
  let at = pod as Record<string, unknown>;
  for (const step of steps.slice(0, -1)) {
    const name = step.replace("[]", "");
    at[name] ??= step.endsWith("[]") ? [{}] : {};
    at = (step.endsWith("[]") ? (at[name] as unknown[])[0] : at[name]) as Record<string, unknown>;
  }
  const last = steps.at(-1) ?? "";
  const value = field.type === "bool" ? true : "something";
  at[last.replace("[]", "")] = last.endsWith("[]") ? [value] : value;
  return pod;
}
