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
  /** Whether it may have to wait for its turn: it changes an object that was not changed before. */
  readonly paced: boolean;
}

export function reads(opcode: number, run: Handler): HandlerEntry {
  return { opcode, run, mutates: false, paced: false };
}

export function mutates(opcode: number, run: Handler): HandlerEntry {
  return { opcode, run, mutates: true, paced: false };
}

/** As `mutates`, for what adds to the number of changed objects. */
export function changes(opcode: number, run: Handler): HandlerEntry {
  return { opcode, run, mutates: true, paced: true };
}
