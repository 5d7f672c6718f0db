// SPDX-License-Identifier: Apache-2.0
/* Reads just enough TypeScript to check imports and names: comments, strings and templates are told from code. No parser, no dependency. */

/**
 * Blanks comments, and returns the code twice: with its string literals, and without their contents. Positions and line breaks stay.
 * @returns {{ code: string, bare: string }}
 */
export function codeOf(text) {
  const kept = text.split("");
  const bare = text.split("");
  const blank = (from, to, ...into) => {
    for (const chars of into) for (let i = from; i < to; i++) if (chars[i] !== "\n") chars[i] = " ";
  };
  // Open ${ } parts of templates: how many braces are open inside each.
  const braces = [];
  let at = 0;
  while (at < text.length) {
    const char = text[at];
    let end = at + 1;
    if (text.startsWith("//", at) || text.startsWith("/*", at)) {
      end = text[at + 1] === "/" ? endOf(text, "\n", at) : endOf(text, "*/", at + 2, 2);
      blank(at, end, kept, bare);
    } else if (char === '"' || char === "'") {
      end = stringEnd(text, at);
      blank(at + 1, end - 1, bare);
    } else if (char === "/" && regexMayStart(text, at)) {
      end = regexEnd(text, at);
      blank(at + 1, end - 1, kept, bare);
    } else if (char === "`" || (char === "}" && braces.at(-1) === 0)) {
      if (char === "}") braces.pop();
      end = templateTextEnd(text, at);
      if (text[end - 1] === "{") braces.push(0);
      blank(at + 1, end - 1, bare);
    } else if (braces.length > 0 && (char === "{" || char === "}")) {
      braces[braces.length - 1] += char === "{" ? 1 : -1;
    }
    at = end;
  }
  return { code: kept.join(""), bare: bare.join("") };
}

function endOf(text, what, from, extra = 0) {
  const found = text.indexOf(what, from);
  return found === -1 ? text.length : found + extra;
}

function stringEnd(text, at) {
  for (let i = at + 1; i < text.length; i++) {
    if (text[i] === "\\") i++;
    else if (text[i] === text[at] || text[i] === "\n") return i + 1;
  }
  return text.length;
}

/** The end of a template's text that starts at `at` (a backtick, or the brace that closes a part): after the next backtick or "${". */
function templateTextEnd(text, at) {
  for (let i = at + 1; i < text.length; i++) {
    if (text[i] === "\\") i++;
    else if (text[i] === "`") return i + 1;
    else if (text.startsWith("${", i)) return i + 2;
  }
  return text.length;
}

/** A slash starts a regular expression after an operator, an opening bracket, or a keyword. */
function regexMayStart(text, at) {
  const before = text.slice(Math.max(0, at - 40), at).trimEnd();
  return (
    before === "" ||
    /[=(,:;!&|?{}[+~<>*%^-]$/.test(before) ||
    /(^|[^\w$.])(return|typeof|case|in|of|await|yield)$/.test(before)
  );
}

function regexEnd(text, at) {
  let inClass = false;
  for (let i = at + 1; i < text.length && text[i] !== "\n"; i++) {
    if (text[i] === "\\") i++;
    else if (text[i] === "[") inClass = true;
    else if (text[i] === "]") inClass = false;
    else if (text[i] === "/" && !inClass) return i + 1;
  }
  return at + 1;
}

/** Every module that a file names: import, export from, import(). With its line number. */
export function importsOf(code) {
  const pattern =
    /\b(?:import|export)\s*(?:type\s+)?(?:[\w$*{}\s,]*?\bfrom\s*)?["']([^"'\n]+)["']|\bimport\s*\(\s*["']([^"'\n]+)["']/g;
  return [...code.matchAll(pattern)].map((match) => ({
    name: match[1] ?? match[2],
    line: lineAt(code, match.index),
  }));
}

/** Line number, from 1, of a position. */
export function lineAt(text, index) {
  return text.slice(0, index).split("\n").length;
}
