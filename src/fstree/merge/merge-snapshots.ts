/**
 * The merge: a common base and two heads give one tree and a list of conflicts (docs/design/merge.md).
 *
 * A pure function of the three trees, the heads' order and the base's policy. The smaller of the two changes is replayed on
 * the tree of the larger, the staying tree. Subtrees that only one side changed are taken by their CIDs, so work and memory
 * follow the smaller change.
 */
import type { Cid, FileId } from "../../base/ids.ts";
import { diff } from "../../tree/diff.ts";
import type { MovedVersions } from "../change-set.ts";
import type { TreeObject } from "../fs-reader.ts";
import { connectToRoot } from "./parents-and-cycles.ts";
import { resolveClashes } from "./clashes.ts";
import type { Conflict } from "./conflict.ts";
import { conflictsOf } from "./findings.ts";
import { wins } from "./context.ts";
import type { Head, MergeContext } from "./context.ts";
import { placeCopies } from "./copies.ts";
import { foldDirectories } from "./fold.ts";
import { findMovedBack, knowsBirthPlace } from "./moved-back.ts";
import { movesOf, noMoves } from "./moves.ts";
import { mergeObject } from "./merge-object.ts";
import type { MergeState } from "./merge-state.ts";
import { MergedTree } from "./merged-tree.ts";
import type { StayingObject } from "./merged-tree.ts";
import { restoreMovedContents } from "./moved-and-removed.ts";
import { hasName, isDirectory } from "./objects.ts";
import { changesOf, smallerChange } from "./contents/smaller-change.ts";
import type { SideChanges, Snapshots } from "./contents/smaller-change.ts";
import { Snapshot } from "./snapshot.ts";
import { splitBirths, SplitView } from "./splits.ts";
import type { Splits } from "./splits.ts";
import { gatherTriples, otherRole } from "./triple.ts";
import type { Role, Triple, Triples } from "./triple.ts";
import { placeUnitCopies } from "./units/unit-copies.ts";
import { UnitRules } from "./units/unit-rules.ts";
import { separateFamilies } from "./units/folded-families.ts";
import { resolveUnits } from "./units/units.ts";
import type { Stays } from "./units/units.ts";
import { writeRows } from "./write-rows.ts";

export interface MergeResult {
  readonly tree: Cid;
  /** In the order in which the rules found them. */
  readonly conflicts: readonly Conflict[];
  /** Objects of either side that got another id: split from one born twice, or folded into another directory. */
  readonly successors: Readonly<Record<Role, ReadonlyMap<FileId, FileId>>>;
  /** Files and units of either side that lost the conflict, and where their contents are now. */
  readonly moved: Readonly<Record<Role, MovedVersions>>;
}

/**
 * Merges `x` and `y`, two changes of `base`, the tree of their newest common root. The order of the two makes no
 * difference. Throws what reading blocks throws; the merge may then be tried again.
 */
export async function mergeSnapshots(context: MergeContext, base: Cid, x: Head, y: Head): Promise<MergeResult> {
  const [winner, loser] = wins(x, y) ? [x, y] : [y, x];
  const snapshots = snapshotsOf(context, base, { winner, loser });
  return replay(context, snapshots, { winner, loser }, await smallerChange(context.nodes, snapshots));
}

/** Merges by replaying this side's changes on the other. Which side it is makes no difference to the outcome. */
export async function replayOf(
  context: MergeContext,
  base: Cid,
  heads: Readonly<Record<Role, Head>>,
  role: Role,
): Promise<MergeResult> {
  const snapshots = snapshotsOf(context, base, heads);
  return replay(context, snapshots, heads, await changesOf(context.nodes, snapshots, role));
}

function snapshotsOf({ nodes }: MergeContext, base: Cid, { winner, loser }: Readonly<Record<Role, Head>>): Snapshots {
  return {
    base: new Snapshot(nodes, base),
    winner: new Snapshot(nodes, winner.tree),
    loser: new Snapshot(nodes, loser.tree),
  };
}

async function replay(
  context: MergeContext,
  snapshots: Snapshots,
  heads: Readonly<Record<Role, Head>>,
  { role, changes }: SideChanges,
): Promise<MergeResult> {
  const staying = snapshots[otherRole(role)];
  const findHome = async (sought: ReadonlySet<FileId>) => {
    const movedBack = await findMovedBack(diff(context.nodes, snapshots.base.tree, staying.tree), sought);
    staying.addMovedBack(movedBack);
    return movedBack;
  };
  const { all: triples, alone } = await gatherTriples(changes, snapshots, role, findHome);
  const splits = await splitBirths(triples, Object.values(snapshots), heads.loser);
  const loser = new SplitView(snapshots.loser, splits);
  const views = { base: snapshots.base, winner: snapshots.winner, loser };
  const merged = new MergedTree(views[otherRole(role)]);
  const state: MergeState = {
    context,
    ...views,
    merged,
    copies: new Map(),
    unitCopies: [],
    moves: noMoves(),
    kept: new Map(),
    contestedTrees: new Set(),
    unitRules: new UnitRules(context.policy.units),
    absorbed: new Map(),
    folded: new Map(),
    findings: [],
  };
  if (role === "winner") await layerSplits(state, splits);
  const locate = async (objects: readonly TreeObject[]) => void (await findHome(await lost(staying, objects)));
  const stays = await resolveUnits(state, triples, role, heads, locate);
  await mergeObjects(state, { all: triples, alone }, role, stays);
  await restoreMovedContents(state, triples, locate);
  await connectToRoot(state);
  const guests = await foldDirectories(state);
  await separateFamilies(state, guests);
  await resolveClashes(state, guests);
  await placeCopies(state, heads.loser);
  await placeUnitCopies(state);
  const stored = (object: StayingObject) => (role === "winner" ? splits.stored(object) : object);
  const isTaken = (id: FileId) => {
    const triple = triples.get(id);
    return triple !== undefined && alone.has(triple) && merged.get(id)?.now === triple[role];
  };
  const trees = { base: snapshots.base.tree, changed: snapshots[role].tree, staying: staying.tree };
  const tree = await writeRows(context, trees, merged, { rows: changes.rows, isTaken, stored });
  const successors = { winner: state.folded, loser: new Map([...state.folded, ...splits.entries()]) };
  for (const [id, fresh] of splits.entries()) successors.loser.set(id, state.folded.get(fresh) ?? fresh);
  const moved = {
    winner: await movesOf(state, "winner", (id) => id),
    loser: await movesOf(state, "loser", (id) => splits.storedId(id)),
  };
  return { tree, conflicts: await conflictsOf(state, heads.loser), successors, moved };
}

/** Phase 1. Afterwards, nothing refers to the versions of files that both sides have in one place: there may be very many. */
async function mergeObjects(
  { context, merged, copies }: MergeState,
  { all, alone }: Triples,
  changed: Role,
  stays: Stays,
): Promise<void> {
  const staying = otherRole(changed);
  for (const [id, triple] of all) {
    if (alone.has(triple)) {
      merged.layer(id, triple[staying], triple[changed]);
      continue;
    }
    const { object, copy } = await mergeObject(context, triple);
    merged.layer(id, stays.has(id) ? stays.get(id) : triple[staying], object);
    const rule = triple.base === undefined ? "create / create" : "content / content";
    if (copy !== undefined) copies.set(id, { record: copy, names: triple.loser?.names ?? [], rule });
    if (!stays.has(id) && isInPlace(triple)) all.delete(id);
  }
}

/** Whether no phase asks for this triple any more, or finds the same in the trees. */
function isInPlace({ base, winner, loser }: Triple): boolean {
  const [place] = winner?.names ?? [];
  const versions = base === undefined ? [winner, loser] : [base, winner, loser];
  const isThere = (object: TreeObject) => object.names.length === 1 && place !== undefined && hasName(object, place);
  return versions.every((object) => object !== undefined && !isDirectory(object) && isThere(object));
}

/** When the loser's tree stays, everything in its split directories gets new keys, even if unchanged. */
async function layerSplits({ loser, merged }: MergeState, splits: Splits): Promise<void> {
  for (const [, directory] of splits.entries()) {
    for await (const { id, place } of loser.children(directory)) {
      const object = await loser.at(place);
      merged.layer(id, object, object);
    }
  }
}

/** Files that this tree does not find by id, though they may be at their birth places. */
async function lost(staying: Snapshot, objects: readonly TreeObject[]): Promise<Set<FileId>> {
  const sought = new Set<FileId>();
  for (const object of objects) {
    if (isDirectory(object) || knowsBirthPlace(object, object.names)) continue;
    if ((await staying.object(object.id, object.names)) === undefined) sought.add(object.id);
  }
  return sought;
}
