/** Finds keys that the objects of a JSON text repeat: `JSON.parse` accepts them silently, and the last one counts. */
import { KeyCounter } from "./repeated-keys.ts";
import type { KeyPaths, RepeatedKeys } from "./repeated-keys.ts";

interface Level {
  /** An object's keys; undefined: an array. */
  readonly keys: Set<string> | undefined;
  readonly path: number;
  /** The path of the next value. */
  inside: number;
}

/** `text` must parse as JSON. */
export function repeatedJsonKeys(text: string, paths: KeyPaths): RepeatedKeys {
  const counter = new KeyCounter(paths);
  const levels: Level[] = [];
  let isKey = false;
  for (let at = 0; at < text.length; at++) {
    const level = levels.at(-1);
    switch (text[at]) {
      case "{":
      case "[": {
        const path = level?.inside ?? 0;
        isKey = text[at] === "{";
        levels.push({ keys: isKey ? new Set() : undefined, path, inside: path });
        break;
      }
      case "}":
      case "]":
        levels.pop();
        isKey = false;
        break;
      case ",":
        isKey = level?.keys !== undefined;
        break;
      case '"': {
        const end = endOfString(text, at);
        if (isKey && level?.keys !== undefined)
          level.inside = counter.take(level.keys, level.path, String(JSON.parse(text.slice(at, end))));
        isKey = false;
        at = end - 1;
      }
    }
  }
  return counter.repeated;
}

/** The index after the closing quote. */
function endOfString(text: string, start: number): number {
  let at = start + 1;
  while (at < text.length && text[at] !== '"') at += text[at] === "\\" ? 2 : 1;
  return at + 1;
}
