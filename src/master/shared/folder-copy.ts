/**
 * Copies one owner's packs from a data folder into a store. Sealed packs keep their names; a growing or damaged one becomes
 * a pack of its intact blocks, named by its contents, so that a repeated copy finds it. The log takes no name again that it
 * has given up, such as those of an interrupted copy: these packs get other names. The folder must be held; it is only read.
 */
import { unless, unlessSync } from "../../base/unless.ts";
import { hasCode, SynclineError } from "../../base/errors.ts";
import type { Wallet } from "../../base/ids.ts";
import { isUnreadableSector } from "../../base/system-errors.ts";
import { blake3 } from "../../crypto/hash.ts";
import { cidFromDigest } from "../../format/blocks/cid.ts";
import { OBJECT_ID_BYTES, packName } from "../../format/blocks/object-name.ts";
import { PACK_TAIL_BYTES, type PackRow } from "../../format/blocks/pack.ts";
import { salvaged } from "../../objects/bad-sector.ts";
import type { Databases } from "../../objects/databases.ts";
import type { ObjectStore } from "../../objects/object-store.ts";
import { badRows, packInMemory } from "../../packs/block-check.ts";
import { buildPack } from "../../packs/pack-builder.ts";
import { readFooter } from "../../packs/pack-footer.ts";
import { byOffset } from "../../packs/pack-rows.ts";
import { BlockIndex, isUnreadable, PACK_STATES } from "../store/block-index.ts";
import { ownerFolder } from "../store/master-store.ts";
import { indexPath, packsFolder } from "../store/owner-packs.ts";
import { footerOf, type PackDisk, type PackFile } from "../store/pack-disk.ts";
import { listPacks, openForReading, rowsPath } from "../store/pack-path.ts";
import { inspectUnfinished } from "../store/unfinished-pack.ts";
import { objectOf, packOf } from "./pack-objects.ts";

export interface FolderCopy {
  readonly dir: string;
  readonly owner: Wallet;
  readonly disk: PackDisk;
  readonly databases: Databases;
  readonly objects: ObjectStore;
  /** Names that the log has given up. */
  readonly gone: ReadonlySet<string>;
  /** Reads each pack back, including those that were copied before. */
  readonly verify: boolean;
  readonly onPack: (bytes: number) => void;
}

export interface CopiedPacks {
  copied: number;
  /** Copied before. */
  skipped: number;
  /** Blocks whose bytes are wrong or unreadable in the folder. */
  damaged: number;
}

/** Throws the disk's and the store's errors, and `precondition_failed` if another object has a pack's name. */
export async function copyPacks(copy: FolderCopy): Promise<CopiedPacks> {
  const { dir, owner, disk, databases } = copy;
  const [home, folder] = [ownerFolder(dir, owner), packsFolder(ownerFolder(dir, owner))];
  const done: CopiedPacks = { copied: 0, skipped: 0, damaged: 0 };
  const { sealed, open } = await listPacks(disk, folder);
  using index = openIndexOf(indexPath(home), databases);
  const known = index.index?.packs() ?? [];
  const left = new Set(known.filter((pack) => pack.sealed === PACK_STATES.left).map(({ name }) => name));
  for (const name of [...new Set([...sealed, ...open])].toSorted()) {
    const file = left.has(name) ? undefined : await openForReading(disk, folder, name);
    if (file === undefined) continue;
    try {
      await copyPack(copy, name, file, { isSealed: sealed.has(name), folder, index: index.index }, done);
    } finally {
      await file.close();
    }
  }
  return done;
}

interface At {
  readonly isSealed: boolean;
  readonly folder: string;
  readonly index: BlockIndex | undefined;
}

async function copyPack(copy: FolderCopy, name: string, file: PackFile, at: At, done: CopiedPacks): Promise<void> {
  const size = await file.size();
  const rows = at.isSealed ? await footerRows(file) : undefined;
  if (rows !== undefined && !copy.verify) {
    const tail = await file.read(Math.max(0, size - PACK_TAIL_BYTES), PACK_TAIL_BYTES);
    if (await isThere(copy.objects, freeName(copy, objectOf(name)), size, tail)) {
      done.skipped++;
      return copy.onPack(size);
    }
  }
  const bytes = await readWhole(file, size);
  const counted = rows ?? (await rowsWithoutFooter(copy, name, file, at));
  const bad = new Set((await badRows(packInMemory(bytes), counted, () => {})).map(({ row }) => row));
  done.damaged += bad.size;
  if (rows !== undefined && bad.size === 0) {
    await put(copy, objectOf(name), [bytes], done);
  } else {
    const blocks = counted
      .filter((row) => !bad.has(row))
      .toSorted(byOffset)
      .map(({ digest, offset, length }) => ({
        cid: cidFromDigest("raw", digest),
        bytes: bytes.subarray(offset, offset + length),
      }));
    if (blocks.length > 0) {
      const { body } = buildPack(packName(new Uint8Array(OBJECT_ID_BYTES)), blocks);
      // Its footer names all contents.
      const id = blake3(body.at(-1) ?? new Uint8Array()).subarray(0, OBJECT_ID_BYTES);
      await put(copy, packName(id), body, done);
    }
  }
  copy.onPack(size);
}

async function put(copy: FolderCopy, name: string, body: readonly Uint8Array[], done: CopiedPacks): Promise<void> {
  const { objects, verify } = copy;
  const object = freeName(copy, name);
  const whole = Buffer.concat(body);
  const tail = whole.subarray(Math.max(0, whole.length - PACK_TAIL_BYTES));
  if (await isThere(objects, object, whole.length, tail)) done.skipped++;
  else {
    const outcome = await objects.putNew(object, body);
    if (outcome.kind !== "stored" && !(await isThere(objects, object, whole.length, tail))) {
      if (outcome.kind === "refused") throw otherObject(objects, object);
      throw new SynclineError("store_unreachable", `${objects.address} did not confirm ${object}.`, {
        hint: "Run the command again: it goes on where it was.",
        cause: outcome.cause,
      });
    }
    done.copied++;
    await readFooter((length) => objects.getTail(object, length));
  }
  if (!verify) return;
  const stored = await objects.get(object);
  if (stored === undefined || Buffer.compare(stored.bytes, whole) !== 0) throw otherObject(objects, object);
}

/** A repeated copy finds the same name, unless the log has given up more packs since. */
function freeName({ gone }: FolderCopy, object: string): string {
  let free = object;
  for (let pack = packOf(free); pack !== undefined && gone.has(pack); pack = packOf(free))
    free = packName(blake3(Buffer.from(free)).subarray(0, OBJECT_ID_BYTES));
  return free;
}

/** Whether the object has this size and this end, which names the footer's hash. */
async function isThere(objects: ObjectStore, object: string, size: number, tail: Uint8Array): Promise<boolean> {
  const there = await unless("object_not_found", () => objects.getTail(object, PACK_TAIL_BYTES));
  if (there === undefined) return false;
  if (there.size === size && Buffer.compare(there.bytes, tail) === 0) return true;
  throw otherObject(objects, object);
}

function otherObject(objects: ObjectStore, object: string): SynclineError {
  return new SynclineError("precondition_failed", `${objects.address} holds other bytes at ${object}.`, {
    hint: "Choose a store of its own for these packs.",
  });
}

/** Zeros, which match no block, for what the disk cannot read. */
async function readWhole(file: PackFile, size: number): Promise<Buffer> {
  try {
    return await file.read(0, size);
  } catch (error) {
    if (!isUnreadableSector(error)) throw error;
    return salvaged((at, memory) => file.read(at, memory.length, memory), 0, size);
  }
}

/** Undefined: the footer is damaged. */
async function footerRows(file: PackFile): Promise<PackRow[] | undefined> {
  const isDamaged = (error: unknown) => hasCode(error, "format_invalid") || isUnreadableSector(error);
  return unless(isDamaged, async () => [...(await footerOf(file))]);
}

async function rowsWithoutFooter({ disk }: FolderCopy, name: string, file: PackFile, { isSealed, folder, index }: At) {
  if (isSealed) return [...(index?.rowsOf(name) ?? [])];
  const journal = await disk.open(rowsPath(folder, name), "read");
  try {
    return (await inspectUnfinished(name, file, journal, index)).rows;
  } finally {
    await journal?.close();
  }
}

/** Without an index, or with an unreadable one, journals and footers tell it all. */
function openIndexOf(path: string, databases: Databases) {
  const index = databases.exists(path) ? unlessSync(isUnreadable, () => new BlockIndex(path, databases)) : undefined;
  return { index, [Symbol.dispose]: () => index?.close() };
}
