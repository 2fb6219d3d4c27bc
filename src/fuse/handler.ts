/** What a family of opcodes exports: functions that turn one request into calls of the filesystem, and its result into a reply. */
import type { FileSystem } from "../vfs/filesystem.ts";
import type { Exchange } from "./exchange.ts";
import type { OpenFiles } from "./open-files.ts";

/**
 * Answers the request through `exchange`, or throws what the filesystem threw. A promise means: an empty success once it
 * resolves; the exchange is then not to be touched any more.
 */
export type Handler = (fs: FileSystem, exchange: Exchange, openFiles: OpenFiles) => void | Promise<void>;

export interface HandlerEntry {
  readonly opcode: number;
  readonly run: Handler;
  /** Whether it changes anything, so that the journal must be written before its answer leaves. */
  readonly mutates: boolean;
  /** Whether it may have to wait for its turn, since there may be one more changed object after it: by names, or the inode itself. */
  readonly paced: "names" | "inode" | undefined;
}

export function reads(opcode: number, run: Handler): HandlerEntry {
  return { opcode, run, mutates: false, paced: undefined };
}

export function mutates(opcode: number, run: Handler): HandlerEntry {
  return { opcode, run, mutates: true, paced: undefined };
}

/** As `mutates`, for what makes, moves or removes objects. */
export function changesNames(opcode: number, run: Handler): HandlerEntry {
  return { opcode, run, mutates: true, paced: "names" };
}

/** As `mutates`, for what changes the inode that the request is about. */
export function changesInode(opcode: number, run: Handler): HandlerEntry {
  return { opcode, run, mutates: true, paced: "inode" };
}
