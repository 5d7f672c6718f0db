// SPDX-License-Identifier: Apache-2.0
//
// What a process would find around itself: made as containerd makes it, from what was asked for and the image. Pure.

import { SupplementalGroupsPolicy } from "@holdfast/cri";
import type { DNSConfig } from "@holdfast/cri";

import type { ImageUser, ImageUsers } from "./images.ts";
import type { ContainerRecord } from "./state.ts";

/** What a container's processes see of what the runtime was asked for. */
export interface Inside {
  /** The pod's; with the host's network, or without one, the node's. */
  readonly hostname: string;
  /** `/etc/resolv.conf`; empty where it is the node's. */
  readonly resolvConf: string;
  /** The pod's own. */
  readonly sysctls: Readonly<Record<string, string>>;
  readonly uid: number;
  /** Empty when neither the request nor the image has a name for the uid. */
  readonly userName: string;
  readonly gid: number;
  /** The process's own first, the others in order, as `id -G` prints them. */
  readonly groups: readonly number[];
  readonly readOnlyRoot: boolean;
}

/** What the node is called inside its own network. */
const NODE_HOSTNAME = "fake-node";
const HOST_NETWORK = 2;
const ROOT: ImageUser = { name: "root", uid: 0 };

/** `users` are those that the image knows. */
export function insideOf(
  { config, sandbox }: Pick<ContainerRecord, "config" | "sandbox">,
  image: ImageUsers,
): Inside {
  const { hostname, dnsConfig, linux } = sandbox.config;
  const isHost = linux?.securityContext?.namespaceOptions?.network === HOST_NETWORK;
  const user = userOf(config.linux?.securityContext, image);
  return {
    hostname: isHost || hostname === "" ? NODE_HOSTNAME : hostname,
    resolvConf: resolvConfOf(dnsConfig),
    sysctls: { ...linux?.sysctls },
    ...user,
    readOnlyRoot: config.linux?.securityContext?.readonlyRootfs === true,
  };
}

type SecurityContext = NonNullable<ContainerRecord["config"]["linux"]>["securityContext"];

function userOf(
  context: SecurityContext,
  image: ImageUsers,
): Pick<Inside, "gid" | "groups" | "uid" | "userName"> {
  const named = context?.runAsUsername ?? "";
  const asked = context?.runAsUser === undefined ? named || image.user : Number(context.runAsUser.value);
  const users = [...image.users, ROOT];
  const known = users.find(({ name, uid }) => (typeof asked === "number" ? uid === asked : name === asked));
  const uid = typeof asked === "number" ? asked : (known?.uid ?? 0);
  const gid =
    context?.runAsGroup === undefined ? (known?.gid ?? known?.uid ?? 0) : Number(context.runAsGroup.value);
  const strict = context?.supplementalGroupsPolicy === SupplementalGroupsPolicy.Strict;
  const others = new Set([
    ...(strict ? [] : (known?.groups ?? [])),
    ...(context?.supplementalGroups ?? []).map(Number),
  ]);
  others.delete(gid);
  return {
    uid,
    userName: known?.name ?? (typeof asked === "string" ? asked : ""),
    gid,
    groups: [gid, ...[...others].sort((a, b) => a - b)],
  };
}

function resolvConfOf(dns: DNSConfig | undefined): string {
  const { searches = [], servers = [], options = [] } = dns ?? {};
  return [
    ...(searches.length === 0 ? [] : [`search ${searches.join(" ")}`]),
    ...servers.map((server) => `nameserver ${server}`),
    ...(options.length === 0 ? [] : [`options ${options.join(" ")}`]),
  ]
    .map((line) => `${line}\n`)
    .join("");
}
