/**
 * Resolves paths. Symlinks are followed within the share. For clients, links that lead out of it, in cycles or nowhere do
 * not exist; nor do devices, fifos and sockets.
 */
import { type FileName, type Ino, ROOT_INO } from "../base/ids.ts";
import { FsError, type Attributes, type FileSystem, type ListedAttributes } from "../vfs/filesystem.ts";
import { ERRNO } from "../base/errno.ts";

const S_IFMT = 0o170000;
const S_IFDIR = 0o040000;
const S_IFREG = 0o100000;
const S_IFLNK = 0o120000;

/** Linux's limit (path_resolution(7)). */
const MAX_LINKS_FOLLOWED = 40;

export interface ResolvedPath {
  /** The names from the root, with links followed: two paths to one resource have the same. */
  readonly path: readonly FileName[];
  /** The directory that holds it, or would. For the root, the root itself. */
  readonly parent: Ino;
  /** Undefined for the root. */
  readonly name: FileName | undefined;
  /** Undefined: there is nothing that clients may see. */
  readonly attributes: Attributes | undefined;
  /** Something that is not shown has the name. */
  readonly isHidden: boolean;
}

export function isFolder({ mode }: Pick<Attributes, "mode">): boolean {
  return (mode & S_IFMT) === S_IFDIR;
}

export function isFile({ mode }: Pick<Attributes, "mode">): boolean {
  return (mode & S_IFMT) === S_IFREG;
}

export function isLink({ mode }: Pick<Attributes, "mode">): boolean {
  return (mode & S_IFMT) === S_IFLNK;
}

/**
 * Resolves a path. `last`: whether a link at the end is followed, or meant itself. Undefined: a parent folder is missing or
 * outside the share. Throws BlockMiss.
 */
export function lookUpPath(
  fs: FileSystem,
  path: readonly FileName[],
  last: "follow" | "itself",
): ResolvedPath | undefined {
  return walk(fs, [...path], last);
}

/** What an entry of a listing shows: itself, its link target, or nothing. Throws BlockMiss. */
export function shownAs(
  fs: FileSystem,
  folder: readonly FileName[],
  name: FileName,
  attributes: ListedAttributes,
): ListedAttributes | undefined {
  if (isFile(attributes) || isFolder(attributes)) return attributes;
  return isLink(attributes) ? lookUpPath(fs, [...folder, name], "follow")?.attributes : undefined;
}

interface Step {
  readonly name: FileName;
  readonly ino: Ino;
}

function walk(fs: FileSystem, names: string[], last: "follow" | "itself"): ResolvedPath | undefined {
  const steps: Step[] = [];
  const top = () => steps.at(-1)?.ino ?? ROOT_INO;
  let links = 0;
  let at: Attributes | undefined = fs.getAttributes(top());
  for (let name = names.shift(); name !== undefined; name = names.shift()) {
    if (name === "" || name === ".") continue;
    if (name === "..") {
      // Outside the share.
      if (steps.pop() === undefined) return undefined;
      at = fs.getAttributes(top());
      continue;
    }
    if (!isFolder(at)) return undefined;
    const found = fs.lookup(top(), name as FileName);
    const isLast = names.every((rest) => rest === "" || rest === ".");
    if (found === undefined) {
      return isLast ? placeOf(steps, name as FileName, undefined, false) : undefined;
    }
    if (isLink(found) && !(isLast && last === "itself")) {
      const target = readLink(fs, found.ino);
      links++;
      if (links > MAX_LINKS_FOLLOWED || target.startsWith("/")) {
        return isLast ? placeOf(steps, name as FileName, undefined, true) : undefined;
      }
      names.unshift(...target.split("/"));
      continue;
    }
    if (isLast) {
      const isShown = isFolder(found) || isFile(found) || isLink(found);
      return placeOf(steps, name as FileName, isShown ? found : undefined, !isShown);
    }
    steps.push({ name: name as FileName, ino: found.ino });
    at = found;
  }
  const self = steps.pop();
  return self === undefined
    ? { path: [], parent: ROOT_INO, name: undefined, attributes: at, isHidden: false }
    : placeOf(steps, self.name, at, false);
}

function placeOf(
  steps: readonly Step[],
  name: FileName,
  attributes: Attributes | undefined,
  isHidden: boolean,
): ResolvedPath {
  const path = [...steps.map((step) => step.name), name];
  return { path, parent: steps.at(-1)?.ino ?? ROOT_INO, name, attributes, isHidden };
}

function readLink(fs: FileSystem, ino: Ino): string {
  try {
    return fs.readSymlink(ino);
  } catch (error) {
    // A damaged link leads nowhere.
    if (error instanceof FsError && error.errno === ERRNO.EINVAL) return "/";
    throw error;
  }
}
