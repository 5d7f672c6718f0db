// SPDX-License-Identifier: Apache-2.0

/** Folds the lines of a watch into a list: pure. */
import type { PodList, WatchEvent } from "../api/types.ts";

/** The list after `event`. */
export function applyWatchEvent(list: PodList, event: WatchEvent): PodList {
  switch (event.type) {
    case "LIST":
      return event.list;
    case "MODIFIED": {
      const others = list.items.filter((pod) => pod.metadata.uid !== event.object.metadata.uid);
      return { ...list, items: [...others, event.object] };
    }
    case "DELETED":
      return { ...list, items: list.items.filter((pod) => pod.metadata.uid !== event.uid) };
    case "PROBLEMS":
      return { ...list, manifestProblems: event.manifestProblems, node: event.node };
    default:
      return event satisfies never;
  }
}

/** Splits a stream of bytes into lines of JSON. A line longer than 16 MiB is refused. */
export async function* jsonLines<T>(chunks: AsyncIterable<Buffer>): AsyncGenerator<T> {
  let rest = "";
  const decoder = new TextDecoder();
  for await (const chunk of chunks) {
    rest += decoder.decode(chunk, { stream: true });
    if (rest.length > 16 * 1024 * 1024) throw new RangeError("a line of the watch is longer than 16 MiB");
    const lines = rest.split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) if (line !== "") yield JSON.parse(line) as T;
  }
}
