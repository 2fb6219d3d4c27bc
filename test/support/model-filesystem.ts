/**
 * A minimal filesystem in memory, on which scenarios and generated histories are played. Inodes keep their identity between
 * seals; ids are assigned when sealed (model-seal.ts).
 */
import type { FileId } from "../../src/base/ids.ts";
import { ROOT_ID } from "../../src/base/ids.ts";
import { ACCESS_ACL } from "../../src/format/files/acl.ts";
import type { FileRecord } from "../../src/format/files/record.ts";
import type { Operation } from "../../src/simulate/scenarios/scenario.ts";
import { impliedMode, parseAcl } from "../../src/vfs/acl.ts";

export interface ModelInode {
  readonly type: "file" | "directory" | "symlink";
  /** Undefined until sealed. */
  id: FileId | undefined;
  /** For a new inode: the id of the file that it was renamed over. */
  replaces: FileId | undefined;
  mode: number;
  uid: number;
  gid: number;
  readonly xattrs: Map<string, string>;
  /** A file's bytes or a symlink's target, as text. */
  content: string;
  mtime: number;
  /** Set if it is a conflict copy. */
  conflict: FileRecord["conflict"];
  readonly entries: Map<string, ModelInode>;
}

export class ModelFilesystem {
  root: ModelInode;
  #time: number;

  /** `time` is where mtimes start: sides with different starts never write the same mtime. */
  constructor(time = 0, root: ModelInode = inode("directory", 0)) {
    this.#time = time;
    this.root = root;
    root.id = ROOT_ID;
  }

  /** Performs the operation; does nothing and returns false if a real filesystem would refuse it. */
  apply(operation: Operation): boolean {
    this.#time++;
    switch (operation.op) {
      case "write":
        return this.#write(operation.path, () => operation.content);
      case "append":
        return this.#write(operation.path, (old) => old + operation.content);
      case "mkdir":
        return this.#add(operation.path, inode("directory", this.#time));
      case "symlink":
        return this.#add(operation.path, { ...inode("symlink", this.#time), content: operation.target });
      case "chmod":
        return this.#chmod(operation.path, operation.mode);
      case "chown":
        return this.#change(operation.path, { uid: operation.uid, gid: operation.gid });
      case "utimes":
        return this.#change(operation.path, { mtime: operation.mtime * 1e9 });
      case "setxattr":
        return this.#setXattr(operation.path, operation.name, operation.value);
      case "link":
        return this.#link(operation.path, operation.to);
      case "rename":
        return this.#rename(operation.path, operation.to);
      case "exchange":
        return this.#exchange(operation.path, operation.to);
      case "unlink":
        return this.#remove(operation.path, (found) => found.type !== "directory");
      case "rmdir":
        return this.#remove(operation.path, (found) => found.type === "directory" && found.entries.size === 0);
      case "rmtree":
        return this.#remove(operation.path, () => true);
      case "commit":
        return false;
    }
  }

  /** The inode at a path; the root for "". */
  at(path: string): ModelInode | undefined {
    let found: ModelInode | undefined = this.root;
    for (const part of path === "" ? [] : path.split("/")) found = found?.entries.get(part);
    return found;
  }

  /** Every path except the root's. */
  *paths(directory = this.root, prefix = ""): Generator<[string, ModelInode]> {
    for (const [name, child] of directory.entries) {
      yield [prefix + name, child];
      yield* this.paths(child, `${prefix}${name}/`);
    }
  }

  #write(path: string, change: (old: string) => string): boolean {
    const found = this.at(path);
    if (found === undefined) return this.#add(path, { ...inode("file", this.#time), content: change("") });
    if (found.type !== "file") return false;
    found.content = change(found.content);
    found.mtime = this.#time;
    return true;
  }

  #chmod(path: string, mode: number): boolean {
    const found = this.at(path);
    if (found === undefined || found.type === "symlink") return false;
    found.mode = mode;
    return true;
  }

  #change(path: string, fields: Partial<Pick<ModelInode, "uid" | "gid" | "mtime">>): boolean {
    const found = this.at(path);
    if (found === undefined) return false;
    Object.assign(found, fields);
    return true;
  }

  /** An access list sets the mode, too, and is not kept if the mode says as much. */
  #setXattr(path: string, name: string, value: string): boolean {
    const found = this.at(path);
    const list = name === ACCESS_ACL ? parseAcl(Buffer.from(value)) : undefined;
    if (found === undefined || (list !== undefined && found.type === "symlink")) return false;
    const implied = list && impliedMode(list, found.mode);
    found.mode = implied?.mode ?? found.mode;
    if (implied?.isWhole === true) found.xattrs.delete(name);
    else found.xattrs.set(name, value);
    return true;
  }

  #link(path: string, to: string): boolean {
    const found = this.at(path);
    return found !== undefined && found.type !== "directory" && this.#add(to, found);
  }

  #rename(path: string, to: string): boolean {
    const [source, target] = [this.#slot(path), this.#slot(to)];
    const found = this.at(path);
    const replaced = this.at(to);
    if (source === undefined || target === undefined || found === undefined || found === replaced) return false;
    if (replaced !== undefined && (replaced.type === "directory") !== (found.type === "directory")) return false;
    if (replaced !== undefined && replaced.entries.size > 0) return false;
    if (holds(found, target.directory)) return false;
    if (replaced !== undefined && this.#takesId(found, replaced)) found.replaces ??= replaced.id ?? replaced.replaces;
    source.directory.entries.delete(source.name);
    target.directory.entries.set(target.name, found);
    return true;
  }

  #takesId(found: ModelInode, replaced: ModelInode): boolean {
    if (found.id !== undefined || found.type === "directory" || found.type !== replaced.type) return false;
    const inodes = Array.from(this.paths(), ([, inode]) => inode);
    return [found, replaced].every((one) => inodes.filter((inode) => inode === one).length === 1);
  }

  #exchange(path: string, to: string): boolean {
    const [a, b] = [this.#slot(path), this.#slot(to)];
    const [first, second] = [this.at(path), this.at(to)];
    if (a === undefined || b === undefined || first === undefined || second === undefined) return false;
    if (first === second || holds(first, b.directory) || holds(second, a.directory)) return false;
    a.directory.entries.set(a.name, second);
    b.directory.entries.set(b.name, first);
    return true;
  }

  #add(path: string, child: ModelInode): boolean {
    const slot = this.#slot(path);
    if (slot === undefined || slot.directory.entries.has(slot.name)) return false;
    slot.directory.entries.set(slot.name, child);
    return true;
  }

  #remove(path: string, may: (found: ModelInode) => boolean): boolean {
    const slot = this.#slot(path);
    const found = this.at(path);
    return slot !== undefined && found !== undefined && may(found) && slot.directory.entries.delete(slot.name);
  }

  #slot(path: string): { directory: ModelInode; name: string } | undefined {
    const parts = path.split("/");
    const name = parts.pop();
    const directory = this.at(parts.join("/"));
    return directory?.type === "directory" && name ? { directory, name } : undefined;
  }
}

function inode(type: ModelInode["type"], mtime: number): ModelInode {
  const mode = type === "directory" ? 0o755 : 0o644;
  const owner = { uid: 0, gid: 0, xattrs: new Map<string, string>() };
  return {
    type,
    id: undefined,
    replaces: undefined,
    mode,
    ...owner,
    content: "",
    mtime,
    conflict: undefined,
    entries: new Map(),
  };
}

function holds(directory: ModelInode, inner: ModelInode): boolean {
  return directory === inner || [...directory.entries.values()].some((child) => holds(child, inner));
}
