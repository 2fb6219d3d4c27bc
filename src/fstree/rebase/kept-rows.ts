/**
 * The merge's base: the reference tree with each changed object as it was when it became dirty. Usually the reference holds
 * just that and the tree stays as it is (docs/design/merge.md, The base of an epoch).
 */
import type { Cid, FileId } from "../../base/ids.ts";
import { birthId, dentryKey, KIND_BACKREF, kindRange, selfKey } from "../../format/files/keys.ts";
import type { LinkBlock } from "../../format/blocks/linked-value.ts";
import { type Change, diff } from "../../tree/diff.ts";
import { preload } from "../../tree/edit.ts";
import type { NodeStore } from "../../tree/node-store.ts";
import { peekGet } from "../../tree/read.ts";
import type { ChangedObject, ChangeSet } from "../change-set.ts";
import { readBackrefs, readObject, readSelf, whenLoaded } from "../fs-reader.ts";
import { birthRows, findMovedBack } from "../merge/moved-back.ts";
import { encodeObjectRow, type Place, rowKeysOf } from "../object-rows.ts";
import { namesAdded, Occupants, type OwnIds } from "./occupants.ts";
import type { ObjectState, Transition } from "./transition.ts";

/** An object's state in the merge's base, and others' place for it if it lost to another object of the epoch. */
export interface KeptState extends ObjectState {
  readonly formerly?: readonly Place[];
}

/** An object as the overlay knew it before this epoch; undefined when it was born in it. */
export function keptState(object: ChangedObject): ObjectState | undefined {
  if (object.id === undefined || object.base === undefined) return undefined;
  return { id: object.id, type: object.base.type, names: object.baseNames, record: object.base };
}

/** Trees before the reference, newest first. */
export type OlderTrees = () => AsyncIterable<Cid>;

/** The transitions that put the kept rows into `reference`: usually none. */
export async function keptTransitions(
  nodes: NodeStore,
  reference: Cid,
  kept: readonly KeptState[],
  own: OwnIds,
  link: LinkBlock,
  olderTrees: OlderTrees,
  notShown: ChangeSet["notShown"] = [],
): Promise<Transition[]> {
  const displaced: Displaced[] = [];
  for (const after of kept) {
    if (await holds(nodes, reference, after, link)) continue;
    const hints = [...after.names, ...(after.formerly ?? [])];
    displaced.push({ before: await find(nodes, reference, after, hints), after, hints });
  }
  await findHome(nodes, reference, displaced, olderTrees);
  const occupants = new Occupants(nodes, reference, own);
  for (const { before, after } of displaced) {
    for (const place of namesAdded(before?.names ?? [], after.names)) {
      const stranger = await occupants.strangerAt(place);
      if (stranger !== undefined) await occupants.evict(stranger, place);
    }
  }
  for (const place of notShown) await occupants.evictNotShown(place);
  return [...displaced, ...occupants.transitions()];
}

/** An object that the reference has in another state than the epoch knew; `hints` are places where a tree may have it. */
interface Displaced extends Transition {
  before: ObjectState | undefined;
  readonly after: ObjectState;
  readonly hints: readonly Place[];
}

/** Whether the tree has exactly this object's rows. */
async function holds(nodes: NodeStore, tree: Cid, state: ObjectState, link: LinkBlock): Promise<boolean> {
  const subdirs = state.type === "directory" ? await subdirsOf(nodes, tree, state.id) : 0;
  for (const row of rowKeysOf(state)) {
    const found = await whenLoaded(nodes, () => peekGet(nodes, tree, row.key));
    if (found === undefined) return false;
    const wanted = encodeObjectRow(state, row, state.record, subdirs, link);
    if (Buffer.compare(found.value, wanted.value) !== 0 || found.links.join() !== wanted.links.join()) return false;
  }
  return state.names.length < 2 || (await readBackrefs(nodes, tree, state.id)).length === state.names.length;
}

async function subdirsOf(nodes: NodeStore, tree: Cid, id: FileId): Promise<number> {
  const self = await readSelf(nodes, tree, id);
  return self?.kind === "directory" ? self.subdirs : 0;
}

/** The object as the tree holds it now: at one of these places, or where its own rows say. */
async function find(
  nodes: NodeStore,
  tree: Cid,
  state: ObjectState,
  hints: readonly (Place | undefined)[],
): Promise<ObjectState | undefined> {
  for (const hint of hints.length === 0 ? [undefined] : hints) {
    const found = await readObject(nodes, tree, state.id, hint);
    if (found !== undefined) return { ...found, type: found.record.type };
  }
  return undefined;
}

/**
 * Finds files that others moved back to their birth places, where no row names them by id. The diff from a tree that has
 * them shows them; files that it does not show are gone. Without such a tree, searches all directories in which a file may
 * have been born.
 */
async function findHome(
  nodes: NodeStore,
  reference: Cid,
  displaced: readonly Displaced[],
  olderTrees: OlderTrees,
): Promise<void> {
  const lost = displaced.filter(({ before, after, hints }) => {
    return before === undefined && after.type !== "directory" && !isKnownAtBirth(after, hints);
  });
  if (lost.length === 0) return;
  const sought = new Map(lost.map((item) => [item.after.id, item]));
  for await (const tree of olderTrees()) {
    const here = new Set<FileId>();
    await readAhead(nodes, tree, [...sought.values()]);
    for (const { after, hints } of sought.values()) if (await find(nodes, tree, after, hints)) here.add(after.id);
    await takeHome(diff(nodes, tree, reference), here);
    for (const id of here) sought.delete(id);
    if (sought.size === 0) return;
  }
  const ids = new Set(sought.keys());
  await takeHome(birthRows(nodes, reference, ids), ids);

  async function takeHome(rows: AsyncIterable<Change>, ids: ReadonlySet<FileId>): Promise<void> {
    for (const [id, place] of await findMovedBack(rows, ids)) {
      const item = sought.get(id);
      if (item !== undefined) item.before = await find(nodes, reference, item.after, [place]);
    }
  }
}

/** Reads ahead the paths to where a tree may have these, one request per level. */
async function readAhead(nodes: NodeStore, tree: Cid, sought: readonly Displaced[]): Promise<void> {
  const keys = sought.flatMap(({ after, hints }) => {
    const { from } = kindRange(after.id, KIND_BACKREF);
    return [selfKey(after.id), from, ...hints.map(({ parent, name }) => dentryKey(parent, name))];
  });
  keys.sort(Buffer.compare);
  for (let at = 0; at < keys.length; at += nodes.batch) await preload(nodes, tree, keys.slice(at, at + nodes.batch));
}

/** Whether these places include the file's birth place. */
function isKnownAtBirth({ id, type }: ObjectState, places: readonly Place[]): boolean {
  return places.some(({ parent, name }) => birthId(parent, name, type, 0) === id);
}
