/** What a call waits for before it runs, runs again or ends. */
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

/** Undefined, as nearly always: the call may run now. */
export function pauseOf({ paced }: HandlerEntry, fs: FileSystem, exchange: Exchange): Paused | undefined {
  if (paced === undefined) return undefined;
  const until =
    paced === "bytes"
      ? fs.throttle(exchange.node, exchange.argument(1))
      : fs.throttle(paced === "inode" ? exchange.node : undefined);
  return until && new Paused(until);
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
