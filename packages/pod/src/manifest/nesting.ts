// SPDX-License-Identifier: Apache-2.0

import { Lexer } from "yaml";

/** How deep values may be nested. A pod needs about 12. */
export const MAX_DEPTH = 64;

/** Indicators that open a nested block on the same line: `- - - x`. */
const BLOCK_INDICATORS = new Set(["-", "?", ":"]);

/**
 * Whether the text nests deeper than {@link MAX_DEPTH}, told from its tokens alone.
 *
 * Asked before the text is composed: the composer is recursive, and at some 100,000 levels V8 ends the process with a fatal error that
 * nothing can catch. Nesting by indentation needs no check here: the file's size bounds it (each level costs a longer line).
 */
export function nestsTooDeep(text: string): boolean {
  let flow = 0;
  let block = 0;
  for (const token of new Lexer().lex(text)) {
    if (token === "[" || token === "{") flow++;
    else if (token === "]" || token === "}") flow--;
    else if (flow === 0 && BLOCK_INDICATORS.has(token)) block++;
    else if (token.includes("\n")) block = 0;
    if (flow > MAX_DEPTH || block > MAX_DEPTH) return true;
  }
  return false;
}
