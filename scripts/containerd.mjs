// SPDX-License-Identifier: Apache-2.0
/* `node scripts/containerd.mjs up|down|status|env|remove [--instance NAME]`: a private containerd for developers. */
import { containerdDown, containerdStatus, containerdUp } from "./lib/containerd.mjs";
import { requireHost } from "./lib/host.mjs";
import { ensureImages } from "./lib/images.mjs";
import { ensureRuntimeFiles } from "./lib/runtime-files.mjs";
import { main, note, SetupError, step } from "./lib/say.mjs";
import { removeInstance } from "./lib/teardown.mjs";

const USAGE = `usage: node scripts/containerd.mjs COMMAND [--instance NAME]
  up      start it (or leave it running), with the local images
  down    stop the daemon; its containers go on
  status  what runs
  env     exports for ctr, crictl and the integration tests: eval "$(node scripts/containerd.mjs env)"
  remove  stop it, end its containers, remove all that it made
NAME is "dev" unless told. HOLDFAST_CONTAINERD_SUITE=trixie|sid takes another Debian suite's containerd (use another instance then).`;

function parse(args) {
  const at = args.indexOf("--instance");
  const name = at === -1 ? "dev" : (args[at + 1] ?? "");
  const rest = at === -1 ? args : (args.toSpliced?.(at, 2) ?? [...args.slice(0, at), ...args.slice(at + 2)]);
  return { command: rest[0] ?? "", name };
}

async function printEnv(name) {
  const { paths } = await containerdStatus(name);
  const files = await ensureRuntimeFiles();
  const exports = {
    CONTAINERD_ADDRESS: paths.socket,
    CONTAINERD_NAMESPACE: "k8s.io",
    CONTAINER_RUNTIME_ENDPOINT: `unix://${paths.socket}`,
    IMAGE_SERVICE_ENDPOINT: `unix://${paths.socket}`,
    HOLDFAST_TEST_CONTAINERD: `unix://${paths.socket}`,
    PATH: files.env.PATH,
    LD_LIBRARY_PATH: files.env.LD_LIBRARY_PATH,
    XTABLES_LIBDIR: files.env.XTABLES_LIBDIR,
  };
  for (const [key, value] of Object.entries(exports))
    if (value !== undefined) process.stdout.write(`export ${key}='${value.replaceAll("'", "'\\''")}'\n`);
}

await main(async () => {
  const { command, name } = parse(process.argv.slice(2));
  if (command === "" || command === "--help" || command === "help") {
    process.stdout.write(`${USAGE}\n`);
    return;
  }
  requireHost();
  if (command === "up") {
    const { paths, files, version } = await containerdUp(name);
    await ensureImages(paths.socket, files);
    step(`containerd ${version} is up at ${paths.socket}`);
  } else if (command === "down") {
    step(
      (await containerdDown(name))
        ? `containerd "${name}" is stopped; its containers go on`
        : `containerd "${name}" was not running`,
    );
  } else if (command === "status") {
    const { pid, socket, facts } = await containerdStatus(name);
    process.stdout.write(
      pid === undefined ? `"${name}" is not running\n` : `"${name}" runs, pid ${pid}, ${socket}\n`,
    );
    if (facts) note(JSON.stringify(facts));
    return pid === undefined ? 3 : 0;
  } else if (command === "env") {
    await printEnv(name);
  } else if (command === "remove") {
    await removeInstance(name);
  } else {
    throw new SetupError(`no such command: ${command}`, USAGE);
  }
});
