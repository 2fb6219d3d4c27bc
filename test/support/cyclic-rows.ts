/** The rows of a directory `d` that lies in itself as `d/again`, as only a dishonest writer makes them. */
import { type FileId, ROOT_ID } from "../../src/base/ids.ts";
import { birthId, dentryKey, selfKey } from "../../src/format/files/keys.ts";
import { encodeDentry, encodeSelf } from "../../src/format/files/rows.ts";
import type { Entry } from "../../src/tree/entry.ts";
import { name, recordOf } from "./epochs.ts";

/** In the order of their keys. The root directory's own row is not among them. */
export function cyclicRows(): Entry[] {
  const inner = birthId(ROOT_ID, name("d"), "directory", 0);
  const entry = (parent: FileId, text: string): Entry => {
    const dentry = { kind: "reference", type: "directory", id: inner } as const;
    return { key: dentryKey(parent, name(text)), ...encodeDentry(dentry, noLink) };
  };
  const place = { parent: ROOT_ID, name: name("d") };
  const self = encodeSelf({ kind: "directory", record: recordOf("directory"), place, subdirs: 1 }, noLink);
  const rows = [{ key: selfKey(inner), ...self }, entry(ROOT_ID, "d"), entry(inner, "again")];
  return rows.sort((a, b) => Buffer.compare(a.key, b.key));
}

function noLink(): never {
  throw new Error("no long values here");
}
