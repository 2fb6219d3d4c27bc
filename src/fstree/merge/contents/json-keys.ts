/** Which keys the objects of a JSON text repeat: `JSON.parse` says nothing of them, and the last one counts. */
import { KeyCounter } from "./repeated-keys.ts";
import type { KeyPaths, RepeatedKeys } from "./repeated-keys.ts";

interface Level {
  /** Of an object; undefined: an array. */
  readonly keys: Set<string> | undefined;
  readonly path: number;
  /** Of the value that comes next. */
  inside: number;
}

/** `text` parses as JSON. */
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

/** Behind the closing quote. */
function endOfString(text: string, start: number): number {
  let at = start + 1;
  while (at < text.length && text[at] !== '"') at += text[at] === "\\" ? 2 : 1;
  return at + 1;
}
