/** The type of request handlers: functions that turn one request into filesystem calls, and the result into a reply. */
import type { FileSystem } from "../vfs/filesystem.ts";
import type { Exchange } from "./exchange.ts";
import type { OpenFiles } from "./open-files.ts";

/**
 * Answers the request through `exchange`, or throws the filesystem's errors. A promise means success once it resolves; the
 * handler must not touch the exchange after returning it.
 */
export type Handler = (fs: FileSystem, exchange: Exchange, openFiles: OpenFiles) => void | Later;

/** The success that comes later: a count of bytes, or nothing. */
export type Later = Promise<number | void>;

export interface HandlerEntry {
  readonly opcode: number;
  readonly run: Handler;
  /** Whether it changes anything: the journal must then be written before its answer leaves. */
  readonly mutates: boolean;
  /** What back-pressure may delay it for: it may add changed names, a changed inode, or bytes. Undefined: never delayed. */
  readonly paced: "names" | "inode" | "bytes" | undefined;
}

export function reads(opcode: number, run: Handler): HandlerEntry {
  return { opcode, run, mutates: false, paced: undefined };
}

export function mutates(opcode: number, run: Handler): HandlerEntry {
  return { opcode, run, mutates: true, paced: undefined };
}

/** As `mutates`, for operations that write their second argument's number of bytes. */
export function addsBytes(opcode: number, run: Handler): HandlerEntry {
  return { opcode, run, mutates: true, paced: "bytes" };
}

/** As `mutates`, for operations that create, move or remove objects. */
export function changesNames(opcode: number, run: Handler): HandlerEntry {
  return { opcode, run, mutates: true, paced: "names" };
}

/** As `mutates`, for operations that change the request's inode. */
export function changesInode(opcode: number, run: Handler): HandlerEntry {
  return { opcode, run, mutates: true, paced: "inode" };
}
