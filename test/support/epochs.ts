/** Hand-written epochs: objects with their names and bytes, as an overlay would seal them. */
import type { Cid, FileId, FileName, Ino, Lamport } from "../../src/base/ids.ts";
import { ROOT_ID, ROOT_INO } from "../../src/base/ids.ts";
import { nameFromText } from "../../src/base/names.ts";
import type { ChangedObject, ChangeSet, DataReader } from "../../src/fstree/change-set.ts";
import type { Place } from "../../src/fstree/object-rows.ts";
import type { FileRecord, FileType } from "../../src/format/files/record.ts";

export function recordOf(type: FileType, fields: Partial<FileRecord> = {}): FileRecord {
  return {
    type,
    mode: type === "directory" ? 0o755 : 0o644,
    uid: 1000,
    gid: 1000,
    size: 0,
    mtimeNs: 1_700_000_000_000_000_000n,
    ctimeNs: 1_700_000_000_000_000_000n,
    rdev: 0,
    xattrs: new Map(),
    content: { kind: "empty" },
    target: "",
    conflict: undefined,
    unknown: new Map(),
    ...fields,
  };
}

export function name(text: string): FileName {
  return nameFromText(text);
}

/** An epoch's change of one object; parents are inode numbers. */
export interface ObjectEdit {
  readonly ino: number;
  /** The object in the base. Absent: new. */
  readonly base?: { readonly id: FileId; readonly record: FileRecord; readonly names: readonly Place[] };
  /** Names now, `[parent, name]`. Empty: deleted. */
  readonly names: readonly (readonly [parent: number, name: string])[];
  readonly type?: FileType;
  readonly fields?: Partial<FileRecord>;
  /** New bytes of the whole file. */
  readonly bytes?: Uint8Array;
  /** A new file is one hole of this size. */
  readonly hole?: number;
}

/** A change set on a root, and the reader of its data. `directories`: other directories by inode. */
export function epochOf(
  on: { readonly commit: Cid; readonly seq: Lamport },
  epoch: number,
  edits: readonly ObjectEdit[],
  directories: Readonly<Record<number, FileId>> = {},
): { changes: ChangeSet; data: DataReader } {
  const bytesOf = new Map(edits.map(({ ino, bytes }) => [ino, bytes ?? new Uint8Array()]));
  const known = Object.entries(directories).map(([ino, id]) => [Number(ino) as Ino, id] as const);
  const changes: ChangeSet = {
    epoch,
    reference: on.commit,
    lamport: (on.seq + 1) as Lamport,
    objects: edits.map((edit) => changedObject(edit, epoch)),
    directories: new Map([[ROOT_INO, ROOT_ID], ...known]),
  };
  const data: DataReader = {
    readData: async (ino, _epoch, offset, length) => {
      const bytes = bytesOf.get(ino) ?? new Uint8Array();
      return bytes.slice(offset, offset + length);
    },
  };
  return { changes, data };
}

function changedObject({ ino, base, names, type, fields, bytes, hole }: ObjectEdit, epoch: number): ChangedObject {
  const isRoot = base?.id === ROOT_ID;
  const size = bytes?.length ?? hole;
  const record =
    names.length === 0 && !isRoot
      ? undefined
      : { ...(base?.record ?? recordOf(type ?? "file")), ...fields, ...(size === undefined ? {} : { size }) };
  return {
    ino: ino as Ino,
    id: base?.id,
    base: base?.record,
    baseNames: base?.names ?? [],
    names: names.map(([parent, text]) => ({ parent: parent as Ino, name: name(text) })),
    record,
    content:
      size === undefined
        ? { kind: "same" }
        : {
            kind: "edited",
            base: base?.record.content ?? { kind: "empty" },
            baseSize: base?.record.size ?? 0,
            segments:
              size === 0 ? [] : [{ offset: 0, length: size, from: bytes === undefined ? "hole" : "data", epoch }],
          },
  };
}
