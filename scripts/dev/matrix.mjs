// SPDX-License-Identifier: Apache-2.0
/*
 * `node scripts/dev/matrix.mjs [1.6] [1.7] [2.1] [--restarts N] [--keep]`: the contract of a runtime (packages/cri-fake/test/runtime-contract.ts) and the
 * latency of a restart, by direct CRI calls and by the agent, on each containerd that can be had here: Debian's bookworm, trixie and sid. One table at the
 * end, and the same as JSON in bench-results/matrix.json. What cannot be had is named in it. Exit status: 0 all passed, 1 a case failed, 3 one could not be had.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { containerdUp } from "../lib/containerd.mjs";
import { requireHost } from "../lib/host.mjs";
import { ensureImages } from "../lib/images.mjs";
import { binDir, node24, repo } from "../lib/paths.mjs";
import { tryRun } from "../lib/run.mjs";
import { explain, main, SetupError, step } from "../lib/say.mjs";
import { removeInstance } from "../lib/teardown.mjs";
import { build, ensureToolchain, toolEnv } from "../lib/toolchain.mjs";

const USAGE = `usage: node scripts/dev/matrix.mjs [1.6] [1.7] [2.1] [--restarts N] [--keep]

The runtime's contract and the latency of a restart, on each private containerd that is named (all three without a name).
--restarts N  how many restarts are measured, 20 without it; --keep leaves the containerds running.
`;
const SUITES = { 1.6: "bookworm", 1.7: "trixie", 2.1: "sid" };
const CONTRACT = "packages/cri-fake/test/contract.integration.test.ts";
const CONTRACT_TIMEOUT_MS = 300_000;
const LATENCY_TIMEOUT_MS = 120_000;
const AGENT_TIMEOUT_MS = 300_000;
/** As many pods as there are restarts, so that no back-off holds one up; more than these only add to their coming and going. */
const MAX_AGENT_RESTARTS = 50;

/** The contract's cases on one socket: how many passed, and the names of those that did not. */
async function runContract(socket) {
  const work = mkdtempSync(join(tmpdir(), "holdfast-matrix-"));
  const report = join(work, "report.json");
  try {
    const args = [
      join(binDir, "vitest"),
      "run",
      "--project",
      "integration",
      "--reporter=default",
      "--reporter=json",
    ];
    const result = await tryRun("/bin/sh", [...args, `--outputFile=${report}`, CONTRACT], {
      cwd: repo,
      env: toolEnv({ HOLDFAST_TEST_CONTAINERD: `unix://${socket}` }),
      timeoutMs: CONTRACT_TIMEOUT_MS,
    });
    const { numTotalTests, numPassedTests, testResults } = JSON.parse(readFileSync(report, "utf8"));
    const failed = testResults
      .flatMap(({ assertionResults }) => assertionResults)
      .filter(({ status }) => status !== "passed")
      .map(({ fullName, failureMessages }) => `${fullName}: ${(failureMessages[0] ?? "").split("\n")[0]}`);
    if (result.status !== 0 && failed.length === 0)
      failed.push(`vitest ended with ${result.status}: ${firstError(result, testResults)}`);
    return { total: numTotalTests, passed: numPassedTests, failed };
  } catch (error) {
    return { total: 0, passed: 0, failed: [`the contract did not run: ${error.message}`] };
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** Of a run whose cases all passed: an error outside of them. */
function firstError({ stdout, stderr }, testResults) {
  const told = testResults.map(({ message }) => message ?? "").join("\n");
  return `${told}\n${stderr}\n${stdout}`.split("\n").find((line) => /Error\b/.test(line)) ?? "no word why";
}

async function measureRestarts(socket, restarts) {
  const args = [
    "--conditions=@holdfast/source",
    join(repo, "scripts/dev/restart-latency.ts"),
    socket,
    restarts,
  ];
  const result = await tryRun(node24, args, { cwd: repo, env: toolEnv(), timeoutMs: LATENCY_TIMEOUT_MS });
  if (result.status === 0) return JSON.parse(result.stdout);
  const why = result.stderr.split("\n").find((line) => /^\w*Error\b/.test(line));
  return { failed: why ?? `ended with status ${result.status}` };
}

/** The same by the agent, with as many pods: from the kill to the successor that runs. */
async function measureAgent(socket, restarts) {
  const count = String(Math.min(Number(restarts), MAX_AGENT_RESTARTS));
  const bench = join(repo, "apps/agent/bench/agent.bench.ts");
  const options = ["--pods", count, "--samples", count, "--idle-seconds", "0", "--no-floor"];
  const result = await tryRun(node24, ["--conditions=@holdfast/source", bench, ...options], {
    cwd: repo,
    env: toolEnv({ HOLDFAST_BENCH_CONTAINERD: `unix://${socket}` }),
    timeoutMs: AGENT_TIMEOUT_MS,
  });
  const line = result.stdout.split("\n").findLast((text) => text.startsWith("{"));
  if (result.status !== 0 || line === undefined)
    return {
      failed: result.stderr.split("\n").find((text) => /Error\b/.test(text)) ?? `ended with ${result.status}`,
    };
  const times = JSON.parse(line).restarts.agent.map(({ running }) => running);
  times.sort((a, b) => a - b);
  const rounded = (ms) => Math.round(ms * 10) / 10;
  return { p50: rounded(times[Math.floor((times.length - 1) / 2)]), max: rounded(times.at(-1)) };
}

/** One row: everything about one series. */
async function runSeries(series, { restarts, keep, isBuilt }) {
  const instance = `matrix-${series.replace(".", "-")}`;
  process.env.HOLDFAST_CONTAINERD_SUITE = SUITES[series];
  try {
    const { paths, files, version } = await containerdUp(instance);
    if (!version.startsWith(`${series}.`)) {
      return { series, missing: `Debian's ${SUITES[series]} has containerd ${version} now` };
    }
    await ensureImages(paths.socket, files);
    step(`containerd ${version}: the contract`);
    const contract = await runContract(paths.socket);
    step(`containerd ${version}: ${restarts} restarts`);
    const latency = await measureRestarts(paths.socket, restarts);
    if (!isBuilt) return { series, version, contract, latency, agent: { failed: "it does not build" } };
    step(`containerd ${version}: ${restarts} restarts by the agent`);
    return { series, version, contract, latency, agent: await measureAgent(paths.socket, restarts) };
  } catch (error) {
    explain(error);
    return { series, missing: error.message };
  } finally {
    if (!keep) await removeInstance(instance);
  }
}

function table(rows) {
  const ms = (part) => (part?.p50 === undefined ? "-" : `${part.p50} (${part.max})`);
  const head = ["containerd", "contract", "exit event", "create", "start", "kill -> running", "by the agent"];
  const lines = rows.map(({ series, version, missing, contract, latency, agent }) =>
    missing === undefined
      ? [
          version,
          `${contract.passed}/${contract.total}`,
          ...["exitEvent", "create", "start", "total"].map((part) => ms(latency[part])),
          ms(agent),
        ]
      : [`${series}: not to be had`, "-", "-", "-", "-", "-", "-"],
  );
  const all = [head, ...lines];
  const widths = head.map((_, column) => Math.max(...all.map((line) => line[column].length)));
  return all
    .map((line) =>
      line
        .map((cell, column) => cell.padEnd(widths[column]))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

await main(async () => {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      restarts: { type: "string", default: "20" },
      keep: { type: "boolean", default: false },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  if (values.help) {
    process.stdout.write(USAGE);
    return 0;
  }
  const series = positionals.length === 0 ? Object.keys(SUITES).sort() : positionals;
  const unknown = series.find((one) => !Object.hasOwn(SUITES, one));
  if (unknown !== undefined) throw new SetupError(`no such series: ${unknown}`, "use 1.6, 1.7 or 2.1");
  if (!/^[1-9]\d{0,3}$/.test(values.restarts)) throw new SetupError("--restarts must be 1 to 9999");
  requireHost();
  await ensureToolchain();
  const isBuilt = await build().then(
    () => true,
    (error) => explain(error),
  );
  const rows = [];
  for (const one of series) rows.push(await runSeries(one, { ...values, isBuilt: isBuilt === true }));
  mkdirSync(join(repo, "bench-results"), { recursive: true });
  writeFileSync(join(repo, "bench-results", "matrix.json"), `${JSON.stringify(rows, null, 2)}\n`);
  process.stdout.write(
    `\nmilliseconds, p50 (worst) of ${values.restarts} restarts, one at a time\n${table(rows)}\n`,
  );
  const broken = rows.flatMap(({ version, contract, latency, agent }) => [
    ...(contract?.failed ?? []).map((text) => `${version}: ${text}`),
    ...(latency?.failed === undefined ? [] : [`${version}: restarts: ${latency.failed}`]),
    ...(agent?.failed === undefined ? [] : [`${version}: the agent's restarts: ${agent.failed}`]),
  ]);
  const missing = rows.filter((row) => row.missing !== undefined);
  for (const text of broken) process.stdout.write(`failed: ${text}\n`);
  for (const row of missing) process.stdout.write(`not to be had: ${row.series}: ${row.missing}\n`);
  if (broken.length > 0) return 1;
  return missing.length > 0 ? 3 : 0;
});
