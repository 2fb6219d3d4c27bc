/** How a door that goes by paths calls the filesystem: blocks are loaded when one is missing, changes wait for their turn and are journaled. */
import { BlockMiss } from "../blocks/block-store.ts";
import type { Ino } from "../base/ids.ts";
import type { FileSystem } from "../vfs/filesystem.ts";
import type { OpenInodes } from "./open-inodes.ts";

/** One call may need this many rounds of loading; more means that blocks go as fast as they come. */
const MAX_LOADS = 1_000;

export class Access {
  readonly fs: FileSystem;
  readonly open: OpenInodes;
  /** Aborted when the client went away. */
  readonly signal: AbortSignal;

  constructor(fs: FileSystem, open: OpenInodes, signal: AbortSignal) {
    this.fs = fs;
    this.open = open;
    this.signal = signal;
  }

  /** For what is to be done though the client went away. */
  onward(): Access {
    return new Access(this.fs, this.open, new AbortController().signal);
  }

  /** Calls `work`, again and again while blocks are missing: it reads everything before it changes anything. */
  async run<Result>(work: (fs: FileSystem) => Result): Promise<Result> {
    for (let rounds = 0; ; rounds++) {
      try {
        return work(this.fs);
      } catch (error) {
        if (!(error instanceof BlockMiss) || rounds === MAX_LOADS) throw error;
        await this.fs.load(error.cids, this.signal);
      }
    }
  }

  /** As `run`, for what changes `ino`, or names (undefined). When it resolves, nothing of it is lost if the agent dies. */
  async change<Result>(ino: Ino | undefined, work: (fs: FileSystem) => Result): Promise<Result> {
    await this.fs.turn(ino);
    const result = await this.run(work);
    this.open.sweep();
    this.fs.commit();
    return result;
  }
}
