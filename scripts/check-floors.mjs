// SPDX-License-Identifier: Apache-2.0
/* `node scripts/check-floors.mjs [--root FOLDER]`: the house rules of CONTRIBUTING.md that no linter knows. Exit status 1 when one is broken. */
import { checkFloors } from "./lib/floors.mjs";
import { repo } from "./lib/paths.mjs";

const at = process.argv.indexOf("--root");
const problems = checkFloors(at === -1 ? repo : process.argv[at + 1]);
for (const problem of problems) process.stdout.write(`${problem}\n`);
process.stdout.write(
  problems.length === 0 ? "floors: no problems\n" : `floors: ${problems.length} problems\n`,
);
process.exitCode = problems.length === 0 ? 0 : 1;
