/**
 * The latest conflicts that this agent's merges found. Each is forgotten once its losing version is gone. To find
 * those of earlier runs, one has to read every directory of the bucket: `conflicts list` does that.
 */
import type { Clock } from "../../base/clock.ts";
import type { Cid, FileId } from "../../base/ids.ts";
import type { Bucket } from "../../bucket/bucket.ts";
import type { VerifiedCommit } from "../../bucket/verified-commit.ts";
import { recentNames } from "../../bucket/machines.ts";
import { lookup, resolvePath } from "../../fstree/fs-reader.ts";
import type { Conflict } from "../../fstree/merge/conflict.ts";
import { NodeStore } from "../../tree/node-store.ts";

export interface SeenConflict {
  readonly conflict: Conflict;
  /** The machine of the displaced version; "" if its commits name none. */
  readonly machine: string;
  readonly timeNs: bigint;
}

export class SeenConflicts {
  readonly #clock: Clock;
  #seen: readonly SeenConflict[] = [];
  /** Where the losing versions are: their directories may move. */
  readonly #directories = new WeakMap<SeenConflict, FileId>();
  /** The root that was looked at last. */
  #root: Cid | undefined;

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
    this.#root = undefined;
  }

  /** Forgets what this newest root no longer has. If it cannot be read now, a later call does that. */
  async settle(bucket: Pick<Bucket, "commit" | "blocks">, root: Cid): Promise<void> {
    if (this.#seen.length === 0 || this.#root === root) return;
    const gone = new Set<SeenConflict>();
    try {
      const { tree } = (await bucket.commit(root)).body;
      const nodes = new NodeStore(bucket.blocks, { capacityBytes: NODES_BYTES });
      for (const seen of this.#seen) if (await this.#isGone(nodes, tree, seen)) gone.add(seen);
      this.#root = root;
    } catch {
      return;
    }
    this.#seen = this.#seen.filter((seen) => !gone.has(seen));
  }

  async #isGone(nodes: NodeStore, tree: Cid, seen: SeenConflict): Promise<boolean> {
    const { kind, names } = seen.conflict;
    const name = names.other.at(-1);
    // A dropped move left no version behind.
    if (kind === "dropped-move" || name === undefined) return false;
    const directory = this.#directories.get(seen) ?? (await resolvePath(nodes, tree, names.other.slice(0, -1)))?.id;
    if (directory === undefined) return true;
    this.#directories.set(seen, directory);
    return (await lookup(nodes, tree, { parent: directory, name })) === undefined;
  }
}

const REMEMBERED = 1_000;
const NODES_BYTES = 4 * 1024 * 1024;
