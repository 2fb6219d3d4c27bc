/**
 * Finds keys that a YAML text's block mappings repeat, by indentation. It knows what configuration files use: block mappings
 * and lists, one-line scalars, block scalars, one-line flow collections, anchors and aliases. It gives up on anything else, and
 * on text that would not parse. A full parser (yaml 2.9) would take seconds for a megabyte.
 */
import { KeyCounter } from "./repeated-keys.ts";
import type { KeyPaths, RepeatedKeys } from "./repeated-keys.ts";

/** Undefined: undecidable. */
export function repeatedYamlKeys(text: string, paths: KeyPaths): RepeatedKeys | undefined {
  const scan = new Scan(paths);
  for (const line of text.replace(/^\uFEFF/, "").split(/\r\n|\n|\r/)) if (!scan.take(line)) return undefined;
  return scan.counter.repeated;
}

/** An open mapping or list. */
interface Block {
  readonly indent: number;
  /** A mapping's keys; undefined: a list. */
  readonly keys: Set<string> | undefined;
  readonly path: number;
}

/** The key or list item whose value the next lines may hold. */
interface Outer {
  readonly indent: number;
  readonly kind: "key" | "item";
}

const DOCUMENT: Outer = { indent: -1, kind: "item" };

/** What a value says about the lines after it. */
type Kind = "whole" | "nests" | "block scalar" | "unknown";

interface Value {
  readonly kind: Kind;
  /** The name of its own anchor. */
  readonly anchor?: string | undefined;
  /** The names of its aliases. */
  readonly aliases?: readonly string[];
}

/** A block scalar whose lines are being read. */
interface BlockScalar {
  /** The indentation of its key or list item. */
  readonly outer: number;
  /** The least indentation of its text, set by its first line with text; undefined before that line. */
  own: number | undefined;
  /** The longest blank line before that line, in spaces. */
  blank: number;
}

class Scan {
  readonly counter: KeyCounter;
  #blocks: Block[] = [];
  /** Whether a mapping, a list or a scalar may begin, in what, and at which path. */
  #nests = true;
  #outer: Outer = DOCUMENT;
  #path = 0;
  #scalar: BlockScalar | undefined;
  /** Anchors seen so far in this document. */
  readonly #anchors = new Set<string>();

  constructor(paths: KeyPaths) {
    this.counter = new KeyCounter(paths);
  }

  /** False: the line is of an unknown kind. */
  take(line: string): boolean {
    if (line.length > LONGEST_LINE) return false;
    const indent = line.length - line.trimStart().length;
    const text = line.slice(indent).trimEnd();
    if (this.#scalar !== undefined) {
      const part = partOf(this.#scalar, line);
      if (part !== "ends") return part === "goes on";
      this.#scalar = undefined;
    }
    if (text === "" || text.startsWith("#")) return true;
    if (/[^ ]/.test(line.slice(0, indent))) return false;
    if (indent === 0 && /^(---|\.\.\.)($|[ \t])/.test(text)) return this.#begin(text);
    return this.#content(text, indent);
  }

  /** Another document. */
  #begin(marker: string): boolean {
    this.#blocks = [];
    this.#nests = true;
    this.#outer = DOCUMENT;
    this.#path = 0;
    this.#anchors.clear();
    return marker.length === "---".length;
  }

  #content(line: string, start: number): boolean {
    let [text, indent, parent] = [line, start, start];
    for (let item = ITEM.exec(text); item !== null; item = ITEM.exec(text)) {
      if (!this.#enterList(indent)) return false;
      const [lead] = item;
      text = text.slice(lead.length);
      if (text === "") return true;
      parent = indent;
      indent += lead.length;
    }
    const entry = entryOf(text);
    if (entry === undefined) {
      const isScalar = this.#nests && indent > this.#outer.indent;
      this.#nests = false;
      return isScalar && this.#value(text, parent);
    }
    return this.#enterMapping(indent, entry.key) && this.#value(entry.value, indent);
  }

  #enterList(indent: number): boolean {
    this.#leave(indent);
    const top = this.#blocks.at(-1);
    const goesOn = top?.indent === indent && top.keys === undefined;
    if (!goesOn && !(this.#nests && this.#isInside(indent, "list"))) return false;
    if (!goesOn) this.#blocks.push({ indent, keys: undefined, path: this.#path });
    else this.#path = top.path;
    this.#nests = true;
    this.#outer = { indent, kind: "item" };
    return true;
  }

  /** Whether a block at this indentation is the value of the last key or item. A key's list may have the key's indentation. */
  #isInside(indent: number, kind: "list" | "mapping"): boolean {
    const outer = this.#outer;
    return indent > outer.indent || (kind === "list" && outer.kind === "key" && indent === outer.indent);
  }

  #enterMapping(indent: number, key: string): boolean {
    this.#leave(indent);
    let top = this.#blocks.at(-1);
    // A list may have its key's indentation: the next key ends it.
    const endsList = top?.indent === indent && top.keys === undefined;
    if (endsList) {
      this.#blocks.pop();
      top = this.#blocks.at(-1);
    }
    if (top?.indent !== indent || top.keys === undefined) {
      if (endsList || !this.#nests || !this.#isInside(indent, "mapping")) return false;
      top = { indent, keys: new Set(), path: this.#path };
      this.#blocks.push(top);
    }
    this.#path = this.counter.take(top.keys ?? new Set(), top.path, key);
    return true;
  }

  /** Closes blocks that are indented more. */
  #leave(indent: number): void {
    let top = this.#blocks.at(-1);
    if (top !== undefined && top.indent > indent) this.#nests = false;
    for (; top !== undefined && top.indent > indent; top = this.#blocks.at(-1)) this.#blocks.pop();
  }

  #value(text: string, indent: number): boolean {
    const { kind, anchor, aliases = [] } = valueOf(text);
    this.#nests = kind === "nests";
    this.#outer = { indent, kind: "key" };
    if (kind === "block scalar") this.#scalar = { outer: indent, own: undefined, blank: 0 };
    if (aliases.some((alias) => !this.#anchors.has(alias))) return false;
    if (anchor !== undefined) this.#anchors.add(anchor);
    return kind !== "unknown";
  }
}

/** Whether a line belongs to a block scalar. The first line with text sets the indentation of all (YAML 1.2.2, 8.1.1.1). */
function partOf(scalar: BlockScalar, line: string): "goes on" | "ends" | "unknown" {
  const text = line.trimStart();
  const spaces = line.length - line.replace(/^ +/, "").length;
  if (text === "") {
    // A tab may be indentation or text.
    if (line.length > spaces) return "unknown";
    scalar.blank = Math.max(scalar.blank, scalar.own === undefined ? spaces : 0);
    return "goes on";
  }
  if (spaces <= scalar.outer) return "ends";
  // A comment may end it.
  if (scalar.own !== undefined && spaces < scalar.own && text.startsWith("#")) return "ends";
  scalar.own ??= spaces;
  return spaces < scalar.own || scalar.blank > scalar.own ? "unknown" : "goes on";
}

/** Lists and mappings need a blank after their sign. */
const ITEM = /^-(?:$| +)/;
/** Longer lines are not configuration, and cost too much to parse. */
const LONGEST_LINE = 10_000;

/** A key and its value; undefined: the text is a scalar. */
function entryOf(text: string): { readonly key: string; readonly value: string } | undefined {
  const quoted = /^(?:"([^"\\]*)"|'([^']*)') *:(?: +|$)/.exec(text);
  if (quoted !== null) return { key: quoted[1] ?? quoted[2] ?? "", value: text.slice(quoted[0].length) };
  // Keys that begin otherwise are tagged, anchored, complex or in a flow collection: `valueOf` tells which.
  if (!/^(?:[^\s"'{}[\],&*#?|\-!>%@`:]|[-?:](?=\S))/.test(text)) return undefined;
  const plain = /:(?: +|$)/.exec(text);
  const comment = text.indexOf(" #");
  if (plain === null || (comment >= 0 && comment < plain.index)) return undefined;
  return { key: text.slice(0, plain.index).trimEnd(), value: text.slice(plain.index + plain[0].length) };
}

function valueOf(whole: string): Value {
  const [properties, anchor] = PROPERTIES.exec(whole.trimStart()) ?? [""];
  const text = whole.trimStart().slice(properties.length);
  const alias = /^\*(\S+) *(?:#.*)?$/.exec(text)?.[1];
  if (alias !== undefined) return { kind: properties === "" ? "whole" : "unknown", aliases: [alias] };
  const aliases = /^[{[]/.test(text) ? [...text.matchAll(FLOW_ALIAS)].map(([, name = ""]) => name) : [];
  return { kind: kindOf(text), anchor, aliases };
}

function kindOf(text: string): Kind {
  if (text === "" || text.startsWith("#")) return "nests";
  // An indentation indicator, a digit, is not understood.
  if (/^[|>][-+]? *(?: #.*)?$/.test(text)) return "block scalar";
  if (WHOLE_QUOTED.test(text)) return "whole";
  if (/^[{[]/.test(text)) return isWholeFlow(text) ? "whole" : "unknown";
  const plain = text.replace(/ #.*$/, "");
  return /^["'|>%@`,}\]&!*]|^[?-](?: |$)|: |:$/.test(plain) ? "unknown" : "whole";
}

/** A scalar in quotes, all on one line. Its escapes are those of YAML 1.2.2, 5.7. */
const QUOTED = String.raw`"(?:[^"\\]|\\(?:[0abtnvfre "/\\N_LP\t]|x[\da-fA-F]{2}|u[\da-fA-F]{4}|U000[\da-fA-F]{5}))*"|'(?:[^']|'')*'`;
const WHOLE_QUOTED = new RegExp(`^(?:${QUOTED}) *(?: #.*)?$`);

/** An anchor, a tag, or both. Tags whose handle a directive must declare do not match. */
const PROPERTIES = /^(?:!!?[\w.:/-]*(?: +|$))?(?:&([^\s,[\]{}]+)(?: +|$))?(?:!!?[\w.:/-]*(?: +|$))?/;

/** An alias at the start of an item or a value. */
const FLOW_ALIAS = /(?<=[[{,:]\s*)\*([^\s,[\]{}]+)/g;

/** Whether the line holds a complete collection of simple scalars: it then comes from one side, unchanged. */
function isWholeFlow(text: string): boolean {
  let [depth, before] = [0, ""];
  for (const { 0: token, index } of text.matchAll(FLOW_TOKEN)) {
    const sign = token.charAt(0);
    const begins = "[{,:".includes(before);
    // It begins an anchor, or its quotes are not those of a scalar.
    if ((sign === "&" && begins) || sign === "#") return false;
    if (/["']/.test(sign) && !(begins && token.trimEnd().length > 1)) return false;
    if (/["']/.test(before) && !"]},:".includes(sign)) return false;
    before = sign;
    if (sign === "{" || sign === "[") depth++;
    if ((sign === "}" || sign === "]") && --depth === 0) return /^ *(?: #.*)?$/.test(text.slice(index + 1));
  }
  return false;
}

/** A scalar in quotes, or one sign, with the blanks after it. */
const FLOW_TOKEN = new RegExp(`(?:${QUOTED}|[^])\\s*`, "gu");
