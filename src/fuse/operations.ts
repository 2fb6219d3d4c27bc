/** The kernel's operations by number: their handlers, their names, and their inodes. */
import type { FileName, Ino } from "../base/ids.ts";
import type { FileSystem } from "../vfs/filesystem.ts";
import { ATTRIBUTE_HANDLERS } from "./attributes.ts";
import { CONTENT_HANDLERS } from "./contents.ts";
import { DIRECTORY_HANDLERS } from "./directories.ts";
import type { HeldRequest } from "./exchange.ts";
import type { HandlerEntry } from "./handler.ts";
import { NAME_HANDLERS } from "./names.ts";
import { CELL, OPCODE } from "./protocol.ts";
import { XATTR_HANDLERS } from "./xattrs.ts";

/** By opcode; undefined: unsupported. */
export const HANDLERS: readonly (HandlerEntry | undefined)[] = handlersByOpcode();

/** For display. */
export function operationName(opcode: number): string {
  return NAMES.get(opcode) ?? String(opcode);
}

/** The inodes whose locks the kernel holds while this request waits, as far as they are known. */
export function inodesOf(held: HeldRequest, fs: FileSystem): Ino[] {
  const { opcode, node, names } = held;
  const second = SECOND_NODE.get(opcode);
  const other = second === undefined ? [] : [held.cells[CELL.ARGUMENT + second] as Ino];
  const inodes = [node, ...other];
  // What is removed, moved or replaced is locked, too.
  if (LOCKS_NAMED.has(opcode)) inodes.push(...inodes.flatMap((parent, index) => named(fs, parent, names[index])));
  return inodes;
}

function named(fs: FileSystem, parent: Ino, name: string | undefined): Ino[] {
  try {
    const found = fs.lookup(parent, name as FileName);
    return found === undefined ? [] : [found.ino];
  } catch {
    // Blocks of the directory are missing.
    return [];
  }
}

const LOCKS_NAMED: ReadonlySet<number> = new Set([OPCODE.UNLINK, OPCODE.RMDIR, OPCODE.RENAME2]);

/** Opcodes with two inodes: the argument that holds the second one. */
const SECOND_NODE = new Map<number, number>([
  [OPCODE.LINK, 0],
  [OPCODE.RENAME2, 0],
  [OPCODE.COPY_FILE_RANGE, 1],
]);

const NAMES = new Map<number, string>(Object.entries(OPCODE).map(([name, opcode]) => [opcode, name]));

function handlersByOpcode(): (HandlerEntry | undefined)[] {
  const handlers: (HandlerEntry | undefined)[] = [];
  for (const entry of [
    ...NAME_HANDLERS,
    ...ATTRIBUTE_HANDLERS,
    ...CONTENT_HANDLERS,
    ...DIRECTORY_HANDLERS,
    ...XATTR_HANDLERS,
  ]) {
    handlers[entry.opcode] = entry;
  }
  return handlers;
}
