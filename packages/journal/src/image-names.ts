// SPDX-License-Identifier: Apache-2.0

const DOCKER = "docker.io/";
const LIBRARY = "docker.io/library/";

/**
 * The names under which events may tell of an image that a person calls `given`: with and without the tag `latest`, Docker Hub's short and long form.
 * kubelet: applyDefaultImageTag; containerd: reference/docker.
 */
export function imageNames(given: string): readonly string[] {
  const last = given.slice(given.lastIndexOf("/") + 1);
  const isWhole = last.includes(":") || given.includes("@");
  const tagged = isWhole ? [given] : [given, `${given}:latest`];
  const untagged = given.endsWith(":latest") ? [given.slice(0, -":latest".length)] : [];
  return [...new Set([...tagged, ...untagged].flatMap(registryNames))];
}

function registryNames(name: string): readonly string[] {
  const first = name.slice(0, Math.max(name.indexOf("/"), 0));
  // What has a dot or a port before the first slash is a registry.
  if (first === "docker.io") {
    const short = name.slice(name.startsWith(LIBRARY) ? LIBRARY.length : DOCKER.length);
    return [name, short];
  }
  if (/[.:]/.test(first) || first === "localhost") return [name];
  return [name, first === "" ? `${LIBRARY}${name}` : `${DOCKER}${name}`];
}
