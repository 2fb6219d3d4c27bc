/**
 * The merge's base: the reference tree with each changed object as it was when it became dirty. Usually the reference holds
 * just that and the tree stays as it is (docs/decisions.md, Kept base rows).
 */
import type { Cid, FileId } from "../../base/ids.ts";
import type { LinkBlock } from "../../format/linked-value.ts";
import type { NodeStore } from "../../tree/node-store.ts";
import { peekGet } from "../../tree/read.ts";
import type { ChangedObject } from "../change-set.ts";
import { readBackrefs, readObject, readSelf, whenLoaded } from "../fs-reader.ts";
import { encodeObjectRow, rowKeysOf } from "../object-rows.ts";
import { namesAdded, Occupants } from "./occupants.ts";
import type { ObjectState, Transition } from "./transition.ts";

/** An object as the overlay knew it before this epoch; undefined when it was born in it. */
export function keptState(object: ChangedObject): ObjectState | undefined {
  if (object.id === undefined || object.base === undefined) return undefined;
  return { id: object.id, type: object.base.type, names: object.baseNames, record: object.base };
}

/** What must happen to `reference` so that it holds the kept rows: nothing, as a rule. */
export async function keptTransitions(
  nodes: NodeStore,
  reference: Cid,
  kept: readonly ObjectState[],
  link: LinkBlock,
): Promise<Transition[]> {
  const occupants = new Occupants(nodes, reference, new Set(kept.map(({ id }) => id)));
  const transitions: Transition[] = [];
  for (const after of kept) {
    if (await holds(nodes, reference, after, link)) continue;
    const before = await find(nodes, reference, after);
    transitions.push({ before, after });
    for (const place of namesAdded(before?.names ?? [], after.names)) {
      const stranger = await occupants.strangerAt(place);
      if (stranger !== undefined) await occupants.evict(stranger, place);
    }
  }
  return [...transitions, ...occupants.transitions()];
}

/** Whether the tree has exactly this object's rows. */
async function holds(nodes: NodeStore, tree: Cid, state: ObjectState, link: LinkBlock): Promise<boolean> {
  const subdirs = state.type === "directory" ? await subdirsOf(nodes, tree, state.id) : 0;
  for (const { key, part } of rowKeysOf(state)) {
    const found = await whenLoaded(nodes, () => peekGet(nodes, tree, key));
    if (found === undefined) return false;
    const wanted = encodeObjectRow(state, part, state.record, subdirs, link);
    if (Buffer.compare(found.value, wanted.value) !== 0 || found.links.join() !== wanted.links.join()) return false;
  }
  return state.names.length < 2 || (await readBackrefs(nodes, tree, state.id)).length === state.names.length;
}

async function subdirsOf(nodes: NodeStore, tree: Cid, id: FileId): Promise<number> {
  const self = await readSelf(nodes, tree, id);
  return self?.kind === "directory" ? self.subdirs : 0;
}

/** The object as the tree holds it now, wherever others have moved it. */
async function find(nodes: NodeStore, tree: Cid, state: ObjectState): Promise<ObjectState | undefined> {
  const hints = state.names.length === 0 ? [undefined] : state.names;
  for (const hint of hints) {
    const found = await readObject(nodes, tree, state.id, hint);
    if (found !== undefined) return { ...found, type: found.record.type };
  }
  return undefined;
}
