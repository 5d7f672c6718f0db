// SPDX-License-Identifier: Apache-2.0
//
// Starts the command. From source: `node --conditions=@holdfast/source packages/cri-fake/src/shell/run.ts --help`

import process from "node:process";

import { main } from "./main.ts";

process.exitCode = await main(process.argv.slice(2));
