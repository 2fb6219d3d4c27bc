/** What a call waits for before it runs, runs again or ends. */
import type { Ino } from "../base/ids.ts";
import { BlockMiss } from "../blocks/block-store.ts";
import { type FileSystem, NoRoomYet } from "../vfs/filesystem.ts";
import type { Exchange } from "./exchange.ts";
import type { HandlerEntry, Later } from "./handler.ts";

/** A call that back-pressure holds up before it begins. */
class Paused {
  readonly until: Promise<void>;
  constructor(until: Promise<void>) {
    this.until = until;
  }
}

/** Blocks, room or the end of back-pressure, after which the call runs (again); or a promise of the call's own end. */
export type Cause = BlockMiss | NoRoomYet | Paused | Later;

/** Undefined, as nearly always: the call may run now. `before`: what it waits for first. */
export function pauseOf(
  { paced }: HandlerEntry,
  fs: FileSystem,
  exchange: Exchange,
  before: Promise<unknown> | undefined,
): Paused | undefined {
  if (paced === undefined) return undefined;
  const { node } = exchange;
  const bytes = exchange.argument(1);
  const until =
    before === undefined ? throttle(fs, paced, node, bytes) : before.then(() => throttle(fs, paced, node, bytes));
  return until && new Paused(until);
}

function throttle(fs: FileSystem, paced: HandlerEntry["paced"], node: Ino, bytes: number): Promise<void> | undefined {
  return paced === "bytes" ? fs.throttle(node, bytes) : fs.throttle(paced === "inode" ? node : undefined);
}

/** Whether the call may run again once the cause of this error is gone. */
export function isPassing(error: unknown): error is BlockMiss | NoRoomYet {
  return error instanceof BlockMiss || error instanceof NoRoomYet;
}

/** Resolves to the call's result if that is what it waits for. */
export async function over(cause: Cause, fs: FileSystem, signal: AbortSignal): Later {
  if (cause instanceof BlockMiss) await fs.load(cause.cids, signal);
  else if (cause instanceof NoRoomYet) await cause.room();
  else return cause instanceof Paused ? cause.until : cause;
}
