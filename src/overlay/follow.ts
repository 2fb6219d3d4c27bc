/**
 * A unit of ours that gave way to that of others takes along whoever uses it (docs/merge.md, Units): numbers go on as the copy's objects,
 * and what changed in it since is a change of the copy. As if somebody had renamed the unit, and put another one in its place.
 */
import type { MovedUnits } from "../bucket/change-set.ts";
import type { FileId, FileName, Ino } from "../base/ids.ts";
import { ROOT_ID, ROOT_INO } from "../base/ids.ts";
import type { Link } from "./dirty-object.ts";
import type { FollowedObject } from "./journal-record.ts";
import type { OverlayState } from "./state.ts";
import type { InodeRow } from "./storage.ts";

/** What is to be journaled, and what doors must forget: the numbers that stand for something else, and the names that lead elsewhere. */
export interface Following {
  readonly objects: readonly FollowedObject[];
  readonly inodes: readonly Ino[];
  readonly names: readonly Link[];
}

/** `ids` are those that the objects of the epoch in flight get. To be asked before it is settled. */
export function followingOf(
  state: OverlayState,
  moved: MovedUnits | undefined,
  ids: ReadonlyMap<Ino, FileId>,
): Following {
  if (moved === undefined) return NOTHING;
  const numbers = new Numbers(state, ids);
  const { renamed, names, added } = renamedNames(state, moved, numbers);
  const followed = new Map<Ino, FollowedObject>(
    added.map((row) => [row.ino, { ino: row.ino, row, base: undefined, links: undefined }]),
  );
  const left = new Set<string>();
  const given = new Set<FileId>();
  const flight = state.inFlight;
  for (const { from, id, type, names: places, left: outside, conflict } of moved.objects) {
    const ino = numbers.inFlight(id) ?? numbers.of(from);
    const [place] = places;
    const bearer = state.dirtyWithId(id)?.ino;
    if (ino === undefined || place === undefined || given.has(id) || (bearer !== undefined && bearer !== ino)) continue;
    given.add(id);
    const row: InodeRow = { ino, id, type, ...place };
    // What the epoch in flight has is told with its rows.
    const isKnown = state.object(ino) === undefined || numbers.inFlight(id) !== undefined;
    followed.set(ino, { ino, row, base: isKnown ? undefined : { names: places, conflict }, links: undefined });
    for (const { parent, name } of outside) {
      const directory = numbers.of(parent);
      if (directory === undefined) continue;
      left.add(`${ino}/${linkKey({ parent: directory, name })}`);
      names.push({ parent: directory, name });
    }
  }
  for (const object of state.objects()) {
    const { ino } = object;
    // It is the base's then.
    if (flight?.objects.has(ino) === true && object.epoch <= flight.changes.epoch) continue;
    const all = object.links.map((link) => renamed.get(linkKey(link)) ?? link);
    // The last name is not taken from it: nobody would find what was written to it.
    const some = all.filter((link) => !left.has(`${ino}/${linkKey(link)}`));
    const links = some.length === 0 ? all : some;
    if (links.length === object.links.length && links.every((link, index) => link === object.links[index])) continue;
    followed.set(ino, { ...(followed.get(ino) ?? { ino, row: undefined, base: undefined }), links });
  }
  return { objects: [...followed.values()], inodes: [...followed.keys()], names };
}

/** `heirs`: numbers of directories that others have taken over → those. */
export function follow(state: OverlayState, followed: readonly FollowedObject[], heirs: ReadonlyMap<Ino, Ino>): void {
  for (const { ino, row, base, links } of followed) {
    const object = state.object(ino);
    if (object !== undefined && row !== undefined && base !== undefined) {
      state.unidentify(object);
      object.id = row.id;
      object.conflict = base.conflict;
      if (object.base !== undefined) object.base = { ...object.base, conflict: base.conflict };
      object.baseNames = base.names;
      state.identify(object);
      state.unsaved.add(ino);
    }
    if (object !== undefined && links !== undefined) {
      const places = links.map(({ parent, name }) => ({ parent: heirs.get(parent) ?? parent, name }));
      state.relink(object, places);
    }
    if (row !== undefined) state.inodes.put(row);
  }
}

const NOTHING: Following = { objects: [], inodes: [], names: [] };

/** The numbers of objects: those that the epoch in flight has under the ids that they get, the others under those that they had. */
class Numbers {
  readonly #state: OverlayState;
  readonly #inFlight: ReadonlyMap<FileId, Ino>;

  constructor(state: OverlayState, ids: ReadonlyMap<Ino, FileId>) {
    this.#state = state;
    this.#inFlight = new Map(Array.from(ids, ([ino, id]) => [id, ino]));
  }

  inFlight(id: FileId): Ino | undefined {
    return this.#inFlight.get(id);
  }

  of(id: FileId): Ino | undefined {
    if (id === ROOT_ID) return ROOT_INO;
    return this.#inFlight.get(id) ?? this.#state.dirtyWithId(id)?.ino ?? this.#state.inodes.find(id)?.ino;
  }
}

/** Where the names lead on, by link; all of them; and rows of directories that had no number until now. */
function renamedNames(state: OverlayState, { names: units }: MovedUnits, numbers: Numbers) {
  const renamed = new Map<string, Link>();
  const names: Link[] = [];
  const added: InodeRow[] = [];
  for (const { from, to } of units) {
    const parent = numbers.of(from.parent);
    if (parent === undefined) continue;
    names.push({ parent, name: from.name });
    let target = numbers.of(to.parent) ?? added.find(({ id }) => id === to.parent)?.ino;
    if (target === undefined && state.entry(parent, from.name) !== undefined) {
      target = (state.inodes.next + added.length) as Ino;
      // Directories are found by their id, so their row needs no place.
      added.push({ ino: target, id: to.parent, type: "directory", parent: ROOT_ID, name: "" as FileName });
    }
    if (target === undefined) continue;
    names.push({ parent: target, name: to.name });
    renamed.set(linkKey({ parent, name: from.name }), { parent: target, name: to.name });
  }
  return { renamed, names, added };
}

function linkKey({ parent, name }: Link): string {
  return `${parent}/${name}`;
}
