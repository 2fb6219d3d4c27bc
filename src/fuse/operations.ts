/** The kernel's operations by number: their handlers, their names, and their inodes. */
import type { Ino } from "../base/ids.ts";
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

/** The inodes whose locks the kernel holds while this request waits. */
export function inodesOf(held: HeldRequest): Ino[] {
  const second = SECOND_NODE.get(held.opcode);
  const inodes = [held.node];
  if (second !== undefined) inodes.push(held.cells[CELL.ARGUMENT + second] as Ino);
  return inodes;
}

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
