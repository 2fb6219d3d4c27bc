/** Finds which side changed less, and what it changed: only that side is read row by row. */
import type { ChangeBeside } from "../../../tree/diff.ts";
import { diffBeside, differingLeaves } from "../../../tree/diff.ts";
import type { NodeStore } from "../../../tree/node-store.ts";
import { Changes } from "../changes.ts";
import type { Snapshot } from "../snapshot.ts";
import { otherRole } from "../triple.ts";
import type { Role } from "../triple.ts";

export type Snapshots = Readonly<Record<Role | "base", Snapshot>>;

/** What one side changed. */
export interface SideChanges {
  readonly role: Role;
  readonly changes: Changes;
}

/**
 * How many changed rows the side with fewer changed leaves may have per changed leaf of the other before the other is read,
 * too. One side may have changed a few rows in each of many leaves, the other all rows in some.
 */
const ROWS_A_LEAF = 16;

export async function smallerChange(nodes: NodeStore, trees: Snapshots): Promise<SideChanges> {
  const { role, others } = await fewerLeaves(nodes, trees);
  const readers = [new ChangeReader(nodes, trees, role)];
  try {
    for (;;) {
      const [first, ...rest] = readers;
      if (first === undefined) throw new TypeError("no reader");
      const reader = rest.reduce((fewest, next) => (next.rows < fewest.rows ? next : fewest), first);
      if (await reader.step()) return reader;
      if (readers.length === 1 && first.rows > ROWS_A_LEAF * others)
        readers.push(new ChangeReader(nodes, trees, otherRole(role)));
    }
  } finally {
    for (const reader of readers) await reader.close();
  }
}

export async function changesOf(nodes: NodeStore, trees: Snapshots, role: Role): Promise<SideChanges> {
  const reader = new ChangeReader(nodes, trees, role);
  while (!(await reader.step()));
  return reader;
}

/** The side that changed fewer leaves, and the least number of leaves that the other changed. */
async function fewerLeaves(nodes: NodeStore, trees: Snapshots): Promise<{ role: Role; others: number }> {
  const side = (role: Role) => ({ role, counts: differingLeaves(nodes, trees.base.tree, trees[role].tree), leaves: 0 });
  const [winner, loser] = [side("winner"), side("loser")];
  try {
    for (;;) {
      const [fewer, other] = winner.leaves <= loser.leaves ? [winner, loser] : [loser, winner];
      const { done, value } = await fewer.counts.next();
      if (done === true) return { role: fewer.role, others: other.leaves };
      fewer.leaves += value;
    }
  } finally {
    for (const { counts } of [winner, loser]) await counts.return(undefined);
  }
}

/** Reads the rows that one side changed, and what the merge looks up for each of them. */
class ChangeReader implements SideChanges {
  readonly role: Role;
  readonly changes = new Changes();
  readonly #base: Snapshot;
  readonly #batches: AsyncGenerator<ChangeBeside[]>;

  constructor(nodes: NodeStore, trees: Snapshots, role: Role) {
    this.role = role;
    this.#base = trees.base;
    this.#batches = diffBeside(nodes, trees.base.tree, trees[role].tree, trees[otherRole(role)].tree);
  }

  get rows(): number {
    return this.changes.rows.size;
  }

  /** Reads the next rows; true: that was all. */
  async step(): Promise<boolean> {
    const { done, value } = await this.#batches.next();
    if (done === true) return true;
    for (const change of value) this.changes.add(change);
    // Units are looked up in the base by changed name (contested-units.ts): its leaves are in memory now.
    await this.#base.load({ directories: this.changes.takeParents() });
    return false;
  }

  async close(): Promise<void> {
    await this.#batches.return(undefined);
  }
}
