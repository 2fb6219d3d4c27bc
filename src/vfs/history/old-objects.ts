/** Objects of old trees, read only. A tree never changes, so what was read stays true. Calls throw BlockMiss as the vfs's do. */
import { BoundedMap } from "../../base/bounded-map.ts";
import type { Cid, FileId, FileName, Ino } from "../../base/ids.ts";
import { LISTING_BATCH, MAX_LINKS } from "../../base/limits.ts";
import { peekContent } from "../../content/read.ts";
import { peekSeek } from "../../content/seek.ts";
import { targetOf, xattrsOf } from "../../format/blocks/linked-value.ts";
import type { FileRecord, Xattrs } from "../../format/files/record.ts";
import { dentryType, type Dentry } from "../../format/files/rows.ts";
import { countBackrefs, peekDentry, peekDirectory, peekSelf } from "../../fstree/fs-reader.ts";
import { ACCESS_ACL } from "../../format/files/acl.ts";
import { shownUnder } from "../acl.ts";
import type { Attributes, DirectoryEntry } from "../filesystem.ts";
import type { Loader } from "../loader.ts";
import { recordAttributes, TYPE_BITS } from "../objects.ts";
import { ownRecord } from "../own-record.ts";
import { ReadAhead } from "../read-ahead.ts";
import { refuse } from "../refusal.ts";
import type { PastNumbers, Row, State } from "./numbers.ts";
import { throughDirectory } from "./through-directory.ts";

interface OldObject {
  readonly record: FileRecord;
  readonly nlink: number;
  /** A directory's id. */
  readonly id: FileId | undefined;
}

/** Cookies after "." and "..". */
const DOT_COOKIE = 1;
const DOTS_COOKIE = 2;
const REMEMBERED = 2_048;

export class OldObjects {
  readonly #loader: Loader;
  readonly #numbers: PastNumbers;
  readonly #treeOf: (commit: Cid) => Cid;
  readonly #oneOwner: boolean;
  readonly #objects = new BoundedMap<Ino, OldObject>(REMEMBERED);
  readonly #ahead = new ReadAhead();

  /** `treeOf` throws BlockMiss if the commit is not in memory. `oneOwner`: see throughDirectory. */
  constructor(loader: Loader, numbers: PastNumbers, treeOf: (commit: Cid) => Cid, oneOwner: boolean) {
    this.#loader = loader;
    this.#numbers = numbers;
    this.#treeOf = treeOf;
    this.#oneOwner = oneOwner;
  }

  attributes(ino: Ino): Attributes {
    const { record, nlink } = this.#object(ino);
    return recordAttributes(this.#loader, { ino, record, nlink, atimeNs: record.mtimeNs });
  }

  lookup(parent: Ino, name: FileName): Attributes | undefined {
    const state = this.#numbers.stateOf(parent);
    const row = this.child(this.#numbers.stateBy(state).commit, this.#directory(parent), name);
    return row && this.attributes(this.#numbers.ino(state, this.#numbers.row(row)));
  }

  directory(commit: Cid, id: FileId): Row | undefined {
    const self = peekSelf(this.#loader.nodes, this.#treeOf(commit), id);
    return self?.kind === "directory" ? { id, name: undefined } : undefined;
  }

  /** The row of what a name leads to in a root. */
  child(commit: Cid, directory: FileId, name: FileName): Row | undefined {
    const dentry = peekDentry(this.#loader.nodes, this.#treeOf(commit), directory, name);
    return dentry && rowOf(directory, name, dentry);
  }

  /** As FileSystem.readDirectory. A cookie is the number of the last name: it needs no search. */
  readDirectory(ino: Ino, cookie: number, withAttributes: boolean, emit: (entry: DirectoryEntry) => boolean): void {
    const directory = this.#directory(ino);
    const state = this.#numbers.stateOf(ino);
    for (const [name, next] of DOTS) {
      if (cookie < next && !emit(this.#entry(ino, name, next, withAttributes))) return;
    }
    let after = cookie <= DOTS_COOKIE ? undefined : this.#numbers.rowBy(cookie - DOTS_COOKIE).name;
    for (;;) {
      const rows = peekDirectory(this.#loader.nodes, this.#tree(state), directory, after, LISTING_BATCH);
      for (const { name, dentry } of rows) {
        const child = this.#numbers.ino(state, this.#numbers.row(rowOf(directory, name, dentry)));
        const next = DOTS_COOKIE + this.#numbers.row({ id: directory, name });
        const mode = TYPE_BITS[dentryType(dentry)];
        if (
          !emit(
            withAttributes
              ? this.#entry(child, name, next, true)
              : { ino: child, name, mode, next, attributes: undefined },
          )
        )
          return;
        after = name;
      }
      if (rows.length < LISTING_BATCH) return;
    }
  }

  readSymlink(ino: Ino): string {
    const { record } = this.#object(ino);
    if (record.type !== "symlink") throw refuse("EINVAL");
    return targetOf(record, this.#loader.peekLinked);
  }

  read(ino: Ino, offset: number, length: number, target: Uint8Array): number {
    const { content, size } = this.#file(ino);
    const count = Math.max(0, Math.min(length, size - offset, target.length));
    if (count === 0) return 0;
    this.#ahead.fetch(this.#loader, ino, { content, size }, offset, offset + count);
    return this.#loader.readContent(() => peekContent(this.#loader.content, content, size, offset, count, target));
  }

  seek(ino: Ino, offset: number, whence: "data" | "hole"): number {
    const { content, size } = this.#file(ino);
    if (offset < 0 || offset >= size) throw refuse("ENXIO");
    const found = this.#loader.readContent(() => peekSeek(this.#loader.content, content, size, offset, whence));
    if (found === undefined) throw refuse("ENXIO");
    return found;
  }

  xattr(ino: Ino, name: string): Uint8Array | undefined {
    const value = this.xattrs(ino).get(name);
    return value === undefined || name !== ACCESS_ACL ? value : shownUnder(value, this.#object(ino).record.mode);
  }

  xattrs(ino: Ino): Xattrs {
    return xattrsOf(this.#object(ino).record, this.#loader.peekLinked);
  }

  #entry(ino: Ino, name: string, next: number, withAttributes: boolean): DirectoryEntry {
    const attributes = withAttributes ? this.attributes(ino) : undefined;
    return { ino, name: name as FileName, mode: attributes?.mode ?? TYPE_BITS.directory, next, attributes };
  }

  #tree(state: number): Cid {
    return this.#treeOf(this.#numbers.stateBy(state).commit);
  }

  #file(ino: Ino): FileRecord {
    const { record } = this.#object(ino);
    if (record.type === "directory") throw refuse("EISDIR");
    if (record.type !== "file") throw refuse("EINVAL");
    return record;
  }

  #directory(ino: Ino): FileId {
    const { id } = this.#object(ino);
    if (id === undefined) throw refuse("ENOTDIR");
    return id;
  }

  #object(ino: Ino): OldObject {
    const known = this.#objects.get(ino);
    if (known !== undefined) return known;
    const state = this.#numbers.stateBy(this.#numbers.stateOf(ino));
    const row = this.#numbers.rowBy(this.#numbers.rowOf(ino));
    const found = this.#read(this.#treeOf(state.commit), row);
    if (found === undefined) throw refuse("ESTALE");
    const object = { ...found, record: this.#permitted(found.record, state, row) };
    this.#objects.set(ino, object);
    return object;
  }

  /** A name in a `.history` bypasses the directory that had it. So that directory's permissions count as well. */
  #permitted(record: FileRecord, { commit, anchor, name }: State, { id, name: rowName }: Row): FileRecord {
    const at = name.lastIndexOf("@");
    const top = at === -1 ? undefined : this.child(commit, anchor, name.slice(0, at) as FileName);
    if (top === undefined || top.id !== id || top.name !== rowName) return record;
    const directory = peekSelf(this.#loader.nodes, this.#treeOf(commit), anchor);
    return directory === undefined ? record : throughDirectory(record, directory.record, this.#oneOwner);
  }

  #read(tree: Cid, { id, name }: Row): OldObject | undefined {
    const { nodes } = this.#loader;
    if (name !== undefined) {
      const dentry = peekDentry(nodes, tree, id, name);
      return dentry?.kind === "record" ? { record: ownRecord(dentry.record), nlink: 1, id: undefined } : undefined;
    }
    const self = peekSelf(nodes, tree, id);
    if (self === undefined) return undefined;
    const record = ownRecord(self.record);
    if (self.kind === "directory") return { record, nlink: 2 + self.subdirs, id };
    return { record, nlink: countBackrefs(nodes, tree, id, MAX_LINKS), id: undefined };
  }
}

const DOTS = [
  [".", DOT_COOKIE],
  ["..", DOTS_COOKIE],
] as const;

/** A one-name file's record is in its name's row; others have rows of their own. */
export function rowOf(directory: FileId, name: FileName, dentry: Dentry): Row {
  return dentry.kind === "record" ? { id: directory, name } : { id: dentry.id, name: undefined };
}
