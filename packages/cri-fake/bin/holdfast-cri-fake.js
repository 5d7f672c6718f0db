#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
import process from "node:process";

import { main } from "../dist/shell/main.js";

process.exitCode = await main(process.argv.slice(2));
