// SPDX-License-Identifier: Apache-2.0

// Ports, namespaces and names of pods.
import { readlinkSync } from "node:fs";
import { createServer, request } from "node:http";
import { hostname } from "node:os";
import type { AddressInfo } from "node:net";
import { expect, test } from "vitest";
import { container, forever, pod } from "./harness/manifests.ts";
import { startNode } from "./harness/test-node.ts";
import type { TestNode } from "./harness/test-node.ts";
import { until } from "./harness/until.ts";

async function exec(node: TestNode, name: string, command: string): Promise<string> {
  const { code, stdout, stderr } = await node.cli("exec", `${name}-${node.name}`, "--", "sh", "-c", command);
  if (code !== 0) throw new Error(`exec ${command}: ${code} ${stdout} ${stderr}`);
  return stdout.trim();
}

/** A port of this host that nobody has. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

function fetchText(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const call = request({ host: "127.0.0.1", port, timeout: 2000, agent: false }, (answer) => {
      let text = "";
      answer.setEncoding("utf8");
      answer.on("data", (chunk: string) => (text += chunk));
      answer.on("end", () => resolve(text));
    });
    call.on("timeout", () => call.destroy(new Error("no answer")));
    call.on("error", reject);
    call.end();
  });
}

function web(name: string, text: string, hostPort?: number) {
  const command = forever(`mkdir /www; echo ${text} > /www/index.html; httpd -p 80 -h /www`);
  return pod(name, {
    containers: [
      container("main", {
        command,
        ports: [{ containerPort: 80, ...(hostPort !== undefined && { hostPort }) }],
      }),
    ],
  });
}

test("a hostPort is reachable; a second pod that wants it waits, by name, and gets it later", async () => {
  await using node = await startNode();
  const port = await freePort();
  node.write(web("holder", "first", port));
  await until(async () => (await fetchText(port)) === "first\n", "the first pod answers");
  node.write(web("waiter", "second", port));
  const line = await node.until(async () => {
    const found = await node.pod("waiter");
    return found?.holdfast.problems.find((problem) => problem.includes(String(port)));
  }, "the second pod tells what it waits for");
  expect(line).toContain(`holder-${node.name}`);
  expect(await node.running("waiter")).toEqual([]);
  expect(await fetchText(port)).toBe("first\n");

  node.remove("holder");
  await until(async () => (await fetchText(port)) === "second\n", "the second pod answers");
  node.remove("waiter");
  await node.assertNothingLeft();
});

test("the pod's address is the status's, and pods reach one another", async () => {
  await using node = await startNode({ pods: [web("server", "hello"), pod("client")] });
  await node.runningContainer("client");
  const address = await node.until(
    async () => (await node.pod("server"))?.status.podIP,
    "the server has an address",
  );
  expect((await node.pod("server"))?.status.podIPs?.[0]?.ip).toBe(address);
  await node.until(
    async () => (await exec(node, "client", `wget -q -O - http://${address}/`)) === "hello",
    "the client reaches it",
  );
});

test("hostNetwork, hostPID and shareProcessNamespace", async () => {
  await using node = await startNode({
    pods: [
      pod("hostnet", { hostNetwork: true }),
      pod("hostpid", { hostPID: true }),
      pod("shared", { shareProcessNamespace: true, containers: [container("main"), container("other")] }),
      pod("plain"),
    ],
  });
  await node.until(async () => (await node.running()).length === 5, "all run");
  const hostNamespace = (kind: string): string => readlinkSync(`/proc/self/ns/${kind}`);
  expect(await exec(node, "hostnet", "readlink /proc/self/ns/net")).toBe(hostNamespace("net"));
  expect(await exec(node, "hostnet", "hostname")).toBe(hostname());
  expect((await node.pod("hostnet"))?.status.podIP).toBe((await node.pod("hostnet"))?.status.hostIP);
  expect(await exec(node, "hostpid", "readlink /proc/self/ns/pid")).toBe(hostNamespace("pid"));
  expect(Number(await exec(node, "shared", "ps | grep -c '[s]leep 1000000'"))).toBeGreaterThanOrEqual(2);
  expect(Number(await exec(node, "plain", "ps | grep -c '[s]leep 1000000'"))).toBeLessThanOrEqual(2);
  expect(await exec(node, "plain", "readlink /proc/self/ns/net")).not.toBe(hostNamespace("net"));
  for (const name of ["hostnet", "hostpid", "shared", "plain"]) node.remove(name);
  await node.assertNothingLeft();
});

test("with shareProcessNamespace and hostPID a killed container still comes back", async () => {
  await using node = await startNode({
    pods: [pod("shared", { shareProcessNamespace: true }), pod("hostpid", { hostPID: true })],
  });
  for (const name of ["shared", "hostpid"]) {
    const { id } = await node.runningContainer(name);
    await node.killContainer(id);
    expect((await node.runningContainer(name, "main", 1)).id).not.toBe(id);
  }
});

test("hostname, hostAliases, dnsPolicy and dnsConfig", async () => {
  await using node = await startNode({
    pods: [
      pod("named", {
        hostname: "custom",
        hostAliases: [{ ip: "192.0.2.7", hostnames: ["alias.example", "other.example"] }],
        dnsPolicy: "None",
        dnsConfig: {
          nameservers: ["192.0.2.53"],
          searches: ["a.example", "b.example"],
          options: [{ name: "ndots", value: "3" }],
        },
      }),
      pod("usual"),
    ],
  });
  await node.runningContainer("named");
  await node.runningContainer("usual");
  expect(await exec(node, "named", "hostname")).toBe("custom");
  expect(await exec(node, "named", "cat /etc/hosts")).toMatch(
    /192\.0\.2\.7\s+alias\.example\s+other\.example/,
  );
  const resolver = await exec(node, "named", "cat /etc/resolv.conf");
  expect(resolver).toContain("nameserver 192.0.2.53");
  expect(resolver).toContain("search a.example b.example");
  expect(resolver).toContain("options ndots:3");
  const usual = await exec(node, "usual", "hostname");
  expect(usual).toBe(`usual-${node.name}`);
  const address = (await node.pod("usual"))?.status.podIP ?? "?";
  expect(await exec(node, "usual", "cat /etc/hosts")).toMatch(
    new RegExp(`${address.replaceAll(".", "\\.")}\\s+usual-${node.name}`),
  );
});
