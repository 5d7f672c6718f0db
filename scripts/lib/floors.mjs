// SPDX-License-Identifier: Apache-2.0
/*
 * The house rules that no linter knows (CONTRIBUTING.md): floors, seams, exports, sizes, declared dependencies. Reads manifests and sources below a
 * root folder and returns what is wrong as lines "file:line: what".
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { isBuiltin } from "node:module";
import { basename, dirname, join, normalize, relative } from "node:path";
import { codeOf, importsOf, lineAt } from "./source-text.mjs";

/** Lines in a file at most. */
export const MAX_LINES = 450;
const MANAGERS_FLOOR = 2;

/** Files whose purpose is I/O: they may use node: and the clock of the machine. */
const IO_PACKAGES = new Set(["@holdfast/cri", "@holdfast/store"]);
const mayTouchTheMachine = (pkg, file) =>
  pkg.floor >= 4 ||
  IO_PACKAGES.has(pkg.name) ||
  file.startsWith("src/node/") ||
  (pkg.name === "@holdfast/cri-fake" && file.startsWith("src/shell/"));

const SEAMS = [
  [
    /(?<![.\w$])Date\s*\.\s*now\b|(?<![.\w$])new\s+Date\s*\(\s*\)|(?<![.\w$])performance\s*\.\s*now\b/g,
    "the machine's time: take a Clock",
  ],
  [/(?<![.\w$])(?:setTimeout|setInterval)\s*\(/g, "a timer of the machine: take a Clock"],
  [/(?<![.\w$])process\s*(?:\.|\?\.|\[)/g, "process: take what you need as an argument"],
  [/(?<![.\w$])console\s*\./g, "console: take a Logger"],
];

/** All violations below `root`. */
export function checkFloors(root) {
  const packages = readPackages(root);
  const byName = new Map(packages.map((pkg) => [pkg.name, pkg]));
  const rootDev = new Set(Object.keys(readJson(join(root, "package.json")).devDependencies ?? {}));
  const problems = [];
  for (const pkg of packages) {
    problems.push(...checkManifest(pkg, byName));
    for (const part of ["src", "test", "bench"]) {
      for (const file of sourceFiles(join(pkg.dir, part)))
        problems.push(...checkFile({ pkg, part, file, byName, rootDev }));
    }
  }
  return problems.map(({ file, line, what }) => `${relative(root, file)}:${line}: ${what}`);
}

function readJson(path) {
  return existsSync(path) ? JSON.parse(readFileSync(path, "utf8")) : {};
}

function readPackages(root) {
  const dirs = ["packages", "apps"].flatMap((top) =>
    existsSync(join(root, top)) ? readdirSync(join(root, top)).map((name) => join(root, top, name)) : [],
  );
  return dirs
    .filter((dir) => existsSync(join(dir, "package.json")))
    .map((dir) => {
      const manifest = readJson(join(dir, "package.json"));
      const keys = (field) => new Set(Object.keys(manifest[field] ?? {}));
      const runtime = new Set([
        ...keys("dependencies"),
        ...keys("peerDependencies"),
        ...keys("optionalDependencies"),
      ]);
      return {
        dir,
        name: manifest.name,
        floor: manifest.holdfast?.floor,
        runtime,
        dev: keys("devDependencies"),
      };
    });
}

function sourceFiles(dir) {
  if (!existsSync(dir)) return [];
  return readdirSync(dir, { withFileTypes: true })
    .flatMap((entry) => {
      if (entry.isDirectory())
        return entry.name === "gen" || entry.name === "node_modules"
          ? []
          : sourceFiles(join(dir, entry.name));
      return /\.[cm]?ts$/.test(entry.name) ? [join(dir, entry.name)] : [];
    })
    .sort();
}

function checkManifest(pkg, byName) {
  const file = join(pkg.dir, "package.json");
  if (!Number.isInteger(pkg.floor))
    return [{ file, line: 1, what: `${pkg.name} has no "holdfast": { "floor": N }` }];
  const wrong = (name) => arrow(pkg, byName, name, { test: false });
  const problems = [...pkg.runtime].map(wrong).filter(Boolean);
  problems.push(...[...pkg.dev].map((name) => arrow(pkg, byName, name, { test: true })).filter(Boolean));
  return problems.map((what) => ({ file, line: 1, what }));
}

/** Why `pkg` must not depend on `name`; undefined when it may. */
function arrow(pkg, byName, name, { test }) {
  const other = byName.get(name);
  if (other === undefined || other === pkg) return undefined;
  if (test && name === "@holdfast/cri-fake") return undefined;
  if (!test && pkg.floor === MANAGERS_FLOOR && name === "@holdfast/store")
    return `${pkg.name} depends on ${name}: a manager takes a checkpoint port instead`;
  if (other.floor < pkg.floor) return undefined;
  const way = other.floor === pkg.floor ? "sideways" : "up";
  return `${pkg.name} (floor ${pkg.floor}) points ${way} to ${name} (floor ${other.floor})`;
}

function checkFile({ pkg, part, file, byName, rootDev }) {
  const text = readFileSync(file, "utf8");
  const { code, bare } = codeOf(text);
  const inPackage = relative(pkg.dir, file);
  const problems = [];
  const add = (line, what) => problems.push({ file, line, what });
  const lines = text.split("\n").length - 1;
  if (lines > MAX_LINES) add(MAX_LINES, `${lines} lines; ${MAX_LINES} at most`);
  if (/^(utils?|helpers?|common|misc)\.[cm]?ts$/.test(basename(file)))
    add(1, "a file is named for what it holds, not utils/helpers/common");
  const find = (pattern, what) => {
    for (const match of bare.matchAll(pattern)) add(lineAt(bare, match.index), what);
  };
  find(/\bexport\s*\*/g, "export *: list the names");
  find(/\bexport\s+default\b|\bas\s+default\b/g, "default export: give it a name");
  if (part === "test")
    find(/\b(?:it|test|describe)\s*\.\s*(?:skip|only|todo|fails)\s*\(/g, "a test that does not run");
  if (part === "src" && !mayTouchTheMachine(pkg, inPackage))
    for (const [pattern, what] of SEAMS) find(pattern, what);
  for (const { name, line } of importsOf(code)) {
    const what = checkImport({ pkg, part, file, inPackage, name, byName, rootDev });
    if (what) add(line, what);
  }
  return problems;
}

function checkImport({ pkg, part, file, inPackage, name, byName, rootDev }) {
  if (name.startsWith(".")) {
    const target = normalize(relative(pkg.dir, join(dirname(file), name)));
    return target.startsWith("..") ? `import of ${name} leaves the package` : undefined;
  }
  if (isBuiltin(name)) {
    return part === "src" && !mayTouchTheMachine(pkg, inPackage)
      ? `import of ${name} outside src/node/: take a port`
      : undefined;
  }
  const wanted = name
    .split("/")
    .slice(0, name.startsWith("@") ? 2 : 1)
    .join("/");
  if (wanted === pkg.name) return undefined;
  const test = part !== "src";
  const wrong = arrow(pkg, byName, wanted, { test });
  if (wrong) return wrong;
  const declared = pkg.runtime.has(wanted) || (test && (pkg.dev.has(wanted) || rootDev.has(wanted)));
  return declared
    ? undefined
    : `${wanted} is not in ${pkg.name}'s ${test ? "dependencies or devDependencies" : "dependencies"}`;
}
