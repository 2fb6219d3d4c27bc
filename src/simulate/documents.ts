/** JSON files as programs write them: one mapping with a key on each line, whose values are versions. */
import { orElse } from "../base/unless.ts";

/** Whether a path's name is that of a JSON file. */
export function isDocument(path: string): boolean {
  return path.endsWith(".json") || path.endsWith(".json~");
}

/** The mapping in a JSON text; undefined if it is not one mapping of texts. */
export function documentOf(bytes: Uint8Array): ReadonlyMap<string, string> | undefined {
  return orElse(undefined, () => {
    const value: unknown = JSON.parse(Buffer.from(bytes).toString());
    if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
    return new Map(Object.entries(value).map(([key, text]) => [key, String(text)]));
  });
}

function documentText(entries: ReadonlyMap<string, string>): Buffer {
  return Buffer.from(`${JSON.stringify(Object.fromEntries(entries), undefined, 2)}\n`);
}

/** A new mapping of several entries, one of which is a version. */
export function newDocument(pick: number, version: string): Buffer {
  return documentText(
    new Map(
      Array.from({ length: NEW_ENTRIES }, (_, index) => [`key ${index}`, index === pick % NEW_ENTRIES ? version : ""]),
    ),
  );
}

/** Enough that edits of two entries are mostly merged. */
const NEW_ENTRIES = 8;

/** Adds an entry, or gives an existing one another value. */
export function withEntry(bytes: Uint8Array, pick: number, version: string): Buffer | undefined {
  const entries = documentOf(bytes);
  return entries && documentText(new Map([...entries, [`key ${NEW_ENTRIES + pick}`, version]]));
}

/** Replaces the value of an entry; without a version, removes the entry. */
export function withoutEntry(bytes: Uint8Array, pick: number, version?: string): Buffer | undefined {
  const entries = documentOf(bytes);
  const key = entries && [...entries.keys()][pick % Math.max(entries.size, 1)];
  if (entries === undefined || key === undefined) return undefined;
  const kept = [...entries].flatMap(([name, value]) => {
    if (name !== key) return [[name, value] as const];
    return version === undefined ? [] : [[name, version] as const];
  });
  return documentText(new Map(kept));
}
