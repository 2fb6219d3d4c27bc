/** The kernel's operations by their number: who handles them, what they are called, and which inodes they are about. */
import type { Ino } from "../base/ids.ts";
import { ATTRIBUTE_HANDLERS } from "./attributes.ts";
import { CONTENT_HANDLERS } from "./contents.ts";
import { DIRECTORY_HANDLERS } from "./directories.ts";
import type { HeldRequest } from "./exchange.ts";
import type { HandlerEntry } from "./handler.ts";
import { NAME_HANDLERS } from "./names.ts";
import { CELL, OPCODE } from "./protocol.ts";
import { XATTR_HANDLERS } from "./xattrs.ts";

/** By opcode; undefined: not supported. */
export const HANDLERS: readonly (HandlerEntry | undefined)[] = handlersByOpcode();

/** For people. */
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

/** Opcodes that name two inodes: which argument is the other one. */
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
