// SPDX-License-Identifier: Apache-2.0

/** The child's end: carries out what it is told, one call beside the other. */
import process from "node:process";
import { errorText } from "@holdfast/core/errors";
import type { Answered, Asked } from "./messages.ts";

export function answer<C>(carryOut: (call: C) => Promise<unknown>): void {
  process.on("message", (asked: Asked<C>) => {
    const { number, call } = asked;
    const reply = (said: Omit<Answered, "number">): void => void process.send?.({ number, ...said });
    carryOut(call).then(
      (given) => reply({ answer: given }),
      (error: unknown) => reply({ error: errorText(error) }),
    );
  });
}
