/** Turns a model filesystem's changes since a tree into the change set that an overlay would seal. */
import type { Cid, FileId, Ino, Lamport } from "../../src/base/ids.ts";
import { ROOT_ID, ROOT_INO } from "../../src/base/ids.ts";
import { nameFromText } from "../../src/base/names.ts";
import type { ChangedObject, ChangeSet, DataReader } from "../../src/fstree/change-set.ts";
import type { MergeContext } from "../../src/fstree/merge/context.ts";
import { readContent } from "../../src/content/read.ts";
import type { FileRecord } from "../../src/format/files/record.ts";
import { recordOf } from "./epochs.ts";
import type { ModelFilesystem, ModelInode } from "./model-filesystem.ts";
import { takeCensus } from "./tree-census.ts";
import type { CensusObject } from "./tree-census.ts";

export interface ModelEpoch {
  readonly changes: ChangeSet;
  readonly data: DataReader;
  readonly inodes: ReadonlyMap<Ino, ModelInode>;
}

/** Inode numbers follow the order that `shuffle` gives the inodes: no result may depend on them. */
export async function epochOfModel(
  context: MergeContext,
  model: ModelFilesystem,
  base: { readonly commit: Cid; readonly tree: Cid; readonly seq: Lamport },
  epoch: number,
  shuffle: <Item>(items: Item[]) => Item[] = (items) => items,
): Promise<ModelEpoch> {
  const census = await takeCensus(context.nodes, base.tree);
  const names = namesOf(model);
  const gone = [...census.keys()].filter((id) => id !== ROOT_ID && ![...names.keys()].some((inode) => inode.id === id));
  const numbered = shuffle<ModelInode | FileId>([
    ...[...names.keys()].filter((inode) => inode !== model.root),
    ...gone,
  ]);
  const inos = new Map<ModelInode | FileId, Ino>([[model.root, ROOT_INO]]);
  for (const [index, item] of numbered.entries()) inos.set(item, (index + 2) as Ino);
  const objects: ChangedObject[] = [];
  for (const [item, ino] of inos) {
    const object =
      typeof item === "string"
        ? deletedObject(ino, census.get(item))
        : await changedObject(context, item, ino, census, names.get(item) ?? [], inos, epoch);
    if (object !== undefined) objects.push(object);
  }
  const inodes = new Map([...inos].flatMap(([item, ino]) => (typeof item === "string" ? [] : [[ino, item] as const])));
  const directories = new Map(
    [...inodes].flatMap(([ino, { id, type }]) =>
      type === "directory" && id !== undefined ? [[ino, id] as const] : [],
    ),
  );
  return {
    changes: {
      epoch,
      reference: base.commit,
      lamport: (base.seq + 1) as Lamport,
      objects: shuffle(objects),
      directories,
    },
    data: {
      readData: async (ino, _epoch, offset, length) =>
        Buffer.from(inodes.get(ino)?.content ?? "", "utf8").subarray(offset, offset + length),
    },
    inodes,
  };
}

type Names = { readonly parent: ModelInode; readonly name: string }[];

function namesOf(model: ModelFilesystem): Map<ModelInode, Names> {
  const names = new Map<ModelInode, Names>([[model.root, []]]);
  const visit = (parent: ModelInode) => {
    for (const [name, child] of parent.entries) {
      names.set(child, [...(names.get(child) ?? []), { parent, name }]);
      if (child.type === "directory") visit(child);
    }
  };
  visit(model.root);
  return names;
}

async function changedObject(
  context: MergeContext,
  inode: ModelInode,
  ino: Ino,
  census: ReadonlyMap<FileId, CensusObject>,
  names: Names,
  inos: ReadonlyMap<ModelInode | FileId, Ino>,
  epoch: number,
): Promise<ChangedObject | undefined> {
  const base = inode.id === undefined ? undefined : census.get(inode.id);
  const bytes = Buffer.from(inode.content, "utf8");
  const sameBytes = base !== undefined && inode.content === (await textOf(context, base.record));
  const sameNames =
    base?.names.join() ===
    names
      .map(({ parent, name }) => `${parent.id}/${byteName(name)}`)
      .sort()
      .join();
  const same = sameBytes && sameNames && base.record.mode === inode.mode && base.record.mtimeNs === BigInt(inode.mtime);
  if (same) return undefined;
  const record: FileRecord = {
    ...(base?.record ?? recordOf(inode.type, { uid: 0, gid: 0 })),
    mode: inode.mode,
    size: bytes.length,
    mtimeNs: BigInt(inode.mtime),
    ctimeNs: BigInt(inode.mtime),
    target: inode.type === "symlink" ? bytes.toString("latin1") : "",
  };
  const segments = bytes.length === 0 ? [] : [{ offset: 0, length: bytes.length, from: "data" as const, epoch }];
  const content = base?.record.content ?? ({ kind: "empty" } as const);
  const replaces = inode.id === undefined && inode.replaces !== undefined ? inos.get(inode.replaces) : undefined;
  return {
    ino,
    id: inode.id,
    ...(replaces === undefined ? {} : { replaces }),
    base: base?.record,
    baseNames: placesOf(base),
    names: names.map(({ parent, name }) => ({ parent: inos.get(parent) ?? ROOT_INO, name: nameFromText(name) })),
    record,
    content:
      inode.type !== "file" || sameBytes
        ? { kind: "same" }
        : { kind: "edited", base: content, baseSize: base?.record.size ?? 0, segments },
  };
}

function deletedObject(ino: Ino, base: CensusObject | undefined): ChangedObject | undefined {
  if (base === undefined) return undefined;
  const { id, record } = base;
  return { ino, id, base: record, baseNames: placesOf(base), names: [], record: undefined, content: { kind: "same" } };
}

function placesOf(base: CensusObject | undefined): ChangedObject["baseNames"] {
  return (base?.names ?? []).map((name) => ({
    parent: name.slice(0, 32) as FileId,
    name: name.slice(33) as ChangedObject["baseNames"][number]["name"],
  }));
}

function byteName(name: string): string {
  return nameFromText(name);
}

async function textOf(context: MergeContext, record: FileRecord): Promise<string> {
  if (record.type === "symlink") return Buffer.from(String(record.target), "latin1").toString("utf8");
  return Buffer.from(await readContent(context.content, record.content, record.size, 0, record.size)).toString("utf8");
}
