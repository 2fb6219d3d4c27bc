/** How a path-based door calls the filesystem: it loads missing blocks, paces changes and journals them. */
import { BlockMiss } from "../blocks/block-store.ts";
import type { Ino } from "../base/ids.ts";
import { type FileSystem, NoRoomYet } from "../vfs/filesystem.ts";
import type { OpenInodes } from "./open-inodes.ts";
import { isStale } from "./stale.ts";

/** One call may need this many rounds of loading; more means that blocks are evicted as fast as they arrive. */
const MAX_LOADS = 1_000;
/** Each may be outdated once: it is looked up anew after the refusal. */
const NAMES_OF_A_CALL = 2;

export class Access {
  readonly fs: FileSystem;
  readonly open: OpenInodes;
  /** Aborted when the client disconnects. */
  readonly signal: AbortSignal;

  constructor(fs: FileSystem, open: OpenInodes, signal: AbortSignal) {
    this.fs = fs;
    this.open = open;
    this.signal = signal;
  }

  /** For work that must be done even if the client disconnects. */
  onward(): Access {
    return new Access(this.fs, this.open, new AbortController().signal);
  }

  /**
   * Repeats `work` while blocks or room for a write are missing, so `work` must read everything before it changes anything.
   * Also repeats it if a name leads elsewhere than it found, as the kernel does for a mount.
   */
  async run<Result>(work: (fs: FileSystem) => Result): Promise<Result> {
    for (let rounds = 0, outdated = 0; ; rounds++) {
      // The filesystem is about to be closed.
      if (this.open.isClosed) throw new DOMException("the server is closing", "AbortError");
      try {
        return work(this.fs);
      } catch (error) {
        if (rounds === MAX_LOADS) throw error;
        if (error instanceof BlockMiss) await this.fs.load(error.cids, this.signal);
        else if (error instanceof NoRoomYet) await error.room();
        else if (isStale(error) && outdated < NAMES_OF_A_CALL) outdated++;
        else throw error;
      }
    }
  }

  /** As `run`, for changes of `ino`, or of names (undefined). Once it resolves, the change survives the agent's death. */
  async change<Result>(ino: Ino | undefined, work: (fs: FileSystem) => Result): Promise<Result> {
    await this.fs.throttle(ino);
    const result = await this.run(work);
    this.open.sweep();
    this.fs.persist();
    return result;
  }
}
