// SPDX-License-Identifier: Apache-2.0
/*
 * Bundles the agent and the command line into one CommonJS file each. CommonJS, because an ES module's `import "node:http"` loads all of undici
 * (TOOLCHAIN.md, 3b); one file, because it halves the memory and the start of loose modules.
 */
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, extname, relative } from "node:path";
import { build, transform } from "esbuild";

// The store's own dependency: an alias is resolved from this folder, which does not have it.
const store = createRequire(new URL("../../packages/store/package.json", import.meta.url));
const sqlitePlatform = store.resolve(`better-sqlite3/linux-${process.arch}`);

/*
 * V8 keeps the source in memory, and 40 % of it is other people's or generated: there local names are cut short, which nobody reads in a stack trace. Names of
 * methods and of what is exported stay. Our own code keeps all its names.
 */
const shortLocals = {
  name: "short-locals",
  setup({ onLoad }) {
    onLoad({ filter: /\/node_modules\/.*\.m?js$|\/src\/gen\/.*\.ts$/ }, async ({ path }) => {
      const loader = extname(path) === ".ts" ? "ts" : "js";
      const options = { loader, minifyIdentifiers: true, sourcefile: path, sourcemap: "inline" };
      const { code } = await transform(readFileSync(path, "utf8"), options);
      return { contents: code, loader: "js" };
    });
  },
};

const result = await build({
  entryPoints: { agent: "src/run/entry.ts", cli: "src/cli/entry.ts" },
  outdir: "dist/bundle",
  outExtension: { ".js": ".cjs" },
  bundle: true,
  platform: "node",
  format: "cjs",
  target: "node24",
  conditions: ["@holdfast/source"],
  // The platform's own entry names its native file literally, so that it can be copied beside the bundle.
  alias: { "better-sqlite3": sqlitePlatform, "@grpc/proto-loader": "./src/run/no-proto-loader.cjs" },
  loader: { ".node": "copy" },
  legalComments: "none",
  // V8 keeps the source in memory: whitespace costs, names are kept for stack traces. The map lies beside it and is not loaded.
  minifyWhitespace: true,
  minifySyntax: true,
  sourcemap: "external",
  plugins: [shortLocals],
  write: false,
  logLevel: "warning",
});

/*
 * An agent may be running from these files, with the native one mapped into its memory: writing into that file would take the pages away under
 * it (SIGSEGV). So a file that changed gets a new inode, and one that did not is left alone. turbo.json has no cache for this for the same
 * reason: what turbo brings back it writes in place.
 */
for (const { path, contents } of result.outputFiles) {
  const changed = !existsSync(path) || !readFileSync(path).equals(contents);
  if (changed) {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(`${path}.new`, contents);
    renameSync(`${path}.new`, path);
  }
  const size = `${(contents.byteLength / 1024).toFixed(0)} KiB`;
  console.log(`${relative(process.cwd(), path)} ${size}${changed ? "" : ", unchanged"}`);
}
