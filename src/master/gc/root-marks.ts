/** How every collection begins: an owner's roots must not have gone back, and everything that they reach is marked. */
import { Budget } from "../../base/budget.ts";
import type { Clock } from "../../base/clock.ts";
import { SynclineError } from "../../base/errors.ts";
import type { Cid, Wallet } from "../../base/ids.ts";
import { TimeSlice } from "../../base/time-slice.ts";
import { allRoots, type RootRow, type RootTable } from "../../roots/root-store.ts";
import { WALK_SLICE_MS, WALKS_BYTES } from "../limits.ts";
import { checkComplete } from "../roots/completeness.ts";
import type { RootAlarm } from "../roots/root-alarm.ts";
import { type KnownRoots, rolledBack } from "../store/known-roots.ts";
import type { Collecting, CollectionProgress } from "../store/owner-blocks.ts";
import { protectBesidesReached } from "./protected-blocks.ts";

export interface RootMarksOptions {
  readonly owner: Wallet;
  readonly roots: Pick<RootTable, "list">;
  readonly known: () => Pick<KnownRoots, "list">;
  readonly alarm: RootAlarm;
  readonly into: Pick<Collecting, "marks" | "protect" | "isProtected" | "progress">;
  readonly clock: Clock;
  /** Ends the marking. */
  readonly signal: AbortSignal;
  /** Called at each marked node. */
  readonly onProgress?: ((progress: CollectionProgress) => void) | undefined;
}

export class RootMarks {
  /** As last read. */
  rows: readonly RootRow[] = [];
  readonly #options: RootMarksOptions;
  readonly #memory = new Budget(WALKS_BYTES);
  /** Bucket → its root that is marked. */
  readonly #marked = new Map<string, Cid>();

  constructor(options: RootMarksOptions) {
    this.#options = options;
  }

  /** No root says what must stay. The table of roots may be lost, so nothing may be deleted. */
  get isEmpty(): boolean {
    return this.#marked.size === 0;
  }

  /** Throws `root_rolled_back`. */
  async check(): Promise<void> {
    const { alarm, known, owner } = this.#options;
    // In this order: otherwise a swap in between would look like a rollback of the table.
    const before = known().list();
    const buckets = rolledBack(before, await this.#roots()).map(({ bucket }) => bucket);
    if (buckets.length === 0) return alarm.clear(owner);
    alarm.raise(owner, buckets);
    throw alarm.wentBack(buckets);
  }

  /** Marks what the current roots reach. Throws `store_corrupt` if that is missing or damaged. */
  async mark(pace: Pick<TimeSlice, "breathe"> = this.#pace()): Promise<void> {
    const { into } = this.#options;
    this.rows = await this.#roots();
    for (const { bucket, commit } of this.rows) {
      if (this.#marked.get(bucket) === commit) continue;
      const walking = { blocks: into.marks, era: 0, pace, memory: this.#memory, anyDepth: true };
      const found = await checkComplete(walking, commit);
      if (found.kind !== "complete") throw damaged(bucket, found.kind === "missing" ? found.missing[0] : found.cid);
      const protect = (cids: readonly Cid[]) => into.protect(cids);
      const isProtected = (cid: Cid) => into.isProtected(cid);
      await protectBesidesReached({ blocks: into.marks, protect, isProtected, pace }, commit);
      this.#marked.set(bucket, commit);
    }
  }

  #roots(): Promise<RootRow[]> {
    return allRoots(this.#options.roots, this.#options.owner);
  }

  #pace(): Pick<TimeSlice, "breathe"> {
    const { clock, signal, onProgress, into } = this.#options;
    const pace = new TimeSlice(clock, WALK_SLICE_MS);
    return {
      breathe() {
        signal.throwIfAborted();
        onProgress?.(into.progress);
        return pace.breathe();
      },
    };
  }
}

function damaged(bucket: string, cid: Cid | undefined): SynclineError {
  return new SynclineError(
    "store_corrupt",
    `Bucket ${bucket} reaches ${cid}, which is missing or damaged. None of its owner's garbage was collected.`,
    { hint: "Run `syncline verify --repair` on the bucket, then collect again." },
  );
}
