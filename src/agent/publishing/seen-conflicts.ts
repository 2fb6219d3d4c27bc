/** The newest conflicts in what an agent published. Later epochs and passes without conflicts keep them. */
import type { Clock } from "../../base/clock.ts";
import type { Bucket } from "../../bucket/bucket.ts";
import type { VerifiedCommit } from "../../bucket/verified-commit.ts";
import { recentNames } from "../../bucket/machines.ts";
import type { Conflict } from "../../fstree/merge/conflict.ts";

export interface SeenConflict {
  readonly conflict: Conflict;
  /** The machine of the displaced version; "" if its commits name none. */
  readonly machine: string;
  readonly timeNs: bigint;
}

export class SeenConflicts {
  readonly #clock: Clock;
  #seen: readonly SeenConflict[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get all(): readonly SeenConflict[] {
    return this.#seen;
  }

  /** `head` is the commit that brought the conflicts, or a later one. */
  async remember(
    conflicts: readonly Conflict[],
    bucket: Pick<Bucket, "commit" | "head">,
    head?: VerifiedCommit,
  ): Promise<void> {
    if (conflicts.length === 0) return;
    const timeNs = this.#clock.nowNs();
    const at = head ?? (await bucket.head().catch(() => undefined))?.commit;
    const writers = conflicts.map(({ writer }) => writer);
    const names = at === undefined ? undefined : await recentNames(bucket, at, writers);
    const seen = conflicts.map((conflict) => ({ conflict, machine: names?.get(conflict.writer) ?? "", timeNs }));
    this.#seen = [...this.#seen, ...seen].slice(-REMEMBERED);
  }
}

const REMEMBERED = 1_000;
