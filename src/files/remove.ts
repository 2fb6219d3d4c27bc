/** Removes a name, and a folder with everything in it: in steps, so that other calls get their turn. */
import { unlessSync } from "../base/unless.ts";
import type { Clock } from "../base/clock.ts";
import { ERRNO } from "../base/errno.ts";
import type { FileName, Ino } from "../base/ids.ts";
import { TimeSlice } from "../base/time-slice.ts";
import { type FileSystem, FsError, type OthersWatch } from "../vfs/filesystem.ts";
import { refuse } from "../vfs/refusal.ts";
import type { Access } from "./access.ts";
import { isFolder } from "./resolved-path.ts";

export interface RemovePorts {
  readonly access: Access;
  readonly clock: Clock;
}

/**
 * Removes the name, if it exists: a folder with everything in it, except what others changed since `others` began. Returns
 * whether it is gone. Throws the filesystem's errors.
 */
export async function removeWhole(
  ports: RemovePorts,
  parent: Ino,
  name: FileName,
  others?: OthersWatch,
): Promise<boolean> {
  const there = await ports.access.run((fs) => fs.lookup(parent, name));
  if (there === undefined) return true;
  if (isFolder(there)) return removeTree(ports, parent, name, there.ino, { others });
  return ports.access.change(undefined, (fs) => {
    if (others?.hasChanged(there.ino) === true) return false;
    fs.unlink(parent, name);
    return true;
  });
}

export interface RemovalLimits {
  /** Called before each step, in the same filesystem call: if it throws, the rest stays. */
  readonly check?: () => void;
  /** What others have changed since it began stays, and so do the folders around that. */
  readonly others?: OthersWatch | undefined;
}

/**
 * Removes a folder and everything in it, including what is not shown. What is moved out meanwhile stays. Returns whether
 * all is gone. Throws the filesystem's errors, ENOTEMPTY if the folder is refilled again and again, or contains itself.
 */
export async function removeTree(
  { access, clock }: RemovePorts,
  parent: Ino,
  name: FileName,
  folder: Ino,
  { check = () => {}, others }: RemovalLimits = {},
): Promise<boolean> {
  const pace = new TimeSlice(clock, SLICE_MS);
  const chain = [new Doomed(parent, { name, ino: folder })];
  const staying = new Set<Ino>();
  const stays = (ino: Ino) => staying.has(ino) || others?.hasChanged(ino) === true;
  for (let at = chain.at(-1); at !== undefined; at = chain.at(-1)) {
    const child = at.folders.pop();
    if (child !== undefined) {
      chain.push(new Doomed(at.ino, child));
      continue;
    }
    const { left, batch } = await access.change(undefined, (fs) => {
      check();
      return removeSome(fs, chain, stays);
    });
    chain.length = left;
    if (batch !== undefined) at.passed(batch);
    if (at.isDone) {
      staying.add(at.ino);
      chain.pop();
    }
    if (chain.length > 0) await pace.breathe();
  }
  return !staying.has(folder);
}

/** How long a step may delay other calls. */
const SLICE_MS = 4;
/** How often a folder may be refilled while it is removed. */
const MAX_REFILLS = 100;
/** Entries read in one step. */
const STEP = 256;

interface Named {
  readonly name: FileName;
  readonly ino: Ino;
}

interface Batch {
  readonly files: readonly FileName[];
  readonly folders: readonly Named[];
  /** How many others stay. */
  readonly staying: number;
  /** Where the next batch begins. 0: this one reached the end. */
  readonly next: number;
}

/** A folder that is being removed, in passes over its names: one, unless it is refilled. */
class Doomed {
  readonly parent: Ino;
  readonly name: FileName;
  readonly ino: Ino;
  /** Each batch begins after the previous one: skipping removed names takes time. */
  cookie = 0;
  /** Those of the last batch that remain. */
  folders: Named[] = [];
  /** A pass found only what stays. */
  isDone = false;
  #passes = 0;
  /** What this pass found, except what stays. */
  #found = 0;
  #staying = 0;

  constructor(parent: Ino, { name, ino }: Named) {
    this.parent = parent;
    this.name = name;
    this.ino = ino;
  }

  /** Throws if it was refilled too often. */
  passed({ files, folders, staying, next }: Batch): void {
    this.folders = [...folders];
    this.cookie = next;
    this.#found += files.length + folders.length;
    this.#staying += staying;
    if (next !== 0) return;
    this.isDone = this.#found === 0 && this.#staying > 0;
    this.#found = 0;
    this.#staying = 0;
    if (!this.isDone && ++this.#passes > MAX_REFILLS) throw refuse("ENOTEMPTY");
  }
}

/**
 * Removes some files of the innermost folder, or the folder if it is empty. `chain`: that folder after those around it.
 * `left`: how many of them remain. `batch`: what the innermost one held.
 */
function removeSome(
  fs: FileSystem,
  chain: readonly Doomed[],
  stays: (ino: Ino) => boolean,
): { readonly left: number; readonly batch?: Batch } {
  const gone = chain.findIndex(({ parent, name, ino }) => !isThere(fs, parent, name, ino));
  const at = chain.at(-1);
  if (gone !== -1 || at === undefined) return { left: Math.max(0, gone) };
  const batch = read(fs, at, stays);
  // A faulty writer's folder that lies in itself.
  if (batch.folders.some(({ ino }) => chain.some((around) => around.ino === ino))) throw refuse("ENOTEMPTY");
  const unremoved = batch.files.filter((name) => !isRemoved(() => fs.unlink(at.ino, name)));
  const isEmpty = unremoved.length + batch.folders.length + batch.staying + batch.next + at.cookie === 0;
  if (isEmpty && isRemoved(() => fs.removeDirectory(at.parent, at.name))) return { left: chain.length - 1 };
  return { left: chain.length, batch };
}

function isThere(fs: FileSystem, parent: Ino, name: FileName, ino: Ino): boolean {
  return unlessSync(isOutdated, () => fs.lookup(parent, name)?.ino === ino, false);
}

/** False: others changed the name, which the next pass looks up again. */
function isRemoved(remove: () => void): boolean {
  try {
    remove();
    return true;
  } catch (error) {
    if (isOutdated(error)) return false;
    throw error;
  }
}

function isOutdated(error: unknown): boolean {
  return error instanceof FsError && OUTDATED.has(error.errno);
}

const OUTDATED: ReadonlySet<number> = new Set([ERRNO.ESTALE, ERRNO.ENOENT, ERRNO.EISDIR, ERRNO.ENOTEMPTY]);

function read(fs: FileSystem, { ino, cookie }: Doomed, stays: (ino: Ino) => boolean): Batch {
  const files: FileName[] = [];
  const folders: Named[] = [];
  let count = 0;
  let staying = 0;
  let next = cookie;
  fs.readDirectory(ino, cookie, false, (entry) => {
    if (count === STEP) return false;
    count++;
    next = entry.next;
    if (entry.name === "." || entry.name === "..") return true;
    if (stays(entry.ino)) staying++;
    else if (isFolder(entry)) folders.push({ name: entry.name, ino: entry.ino });
    else files.push(entry.name);
    return true;
  });
  return { files, folders, staying, next: count < STEP ? 0 : next };
}
