/**
 * Handles files and units of ours that lost a conflict (docs/design/merge.md, In use). Programs that use one follow the
 * conflict copy: inode numbers now stand for the copy's objects, and later changes become changes of the copy. The effect is
 * as if it had been renamed and another put in its place.
 */
import type { MovedVersions, PublishedEpoch } from "../fstree/change-set.ts";
import type { FileId, Ino } from "../base/ids.ts";
import { isUnlinked, keptObject, type KeptObject } from "./dirty-object.ts";
import type { FollowedObject } from "./journal/journal-record.ts";
import { InodeNumbers } from "./inode-numbers.ts";
import type { Link } from "./links.ts";
import type { OverlayState } from "./state.ts";
import type { InodeRow } from "./disk/storage.ts";
import { keepingOf } from "./unit-keeping.ts";

/** What to journal, and what doors must forget: numbers that stand for another object, and names that lead elsewhere. */
export interface Following {
  readonly objects: readonly FollowedObject[];
  readonly inodes: readonly Ino[];
  readonly names: readonly Link[];
}

/** `ids`: the ids that objects of the epoch in flight get. Call this before the epoch is settled. */
export function followingOf(
  state: OverlayState,
  { moved = NO_MOVES, changed = [] }: Pick<PublishedEpoch, "moved" | "changed">,
  ids: ReadonlyMap<Ino, FileId>,
): Following {
  if (moved.objects.length === 0 && changed.length === 0) return NOTHING;
  const numbers = new InodeNumbers(state, ids);
  const { renamed, names } = renamedNames(state, moved, numbers);
  const followed = new Map<Ino, FollowedObject>();
  const left = new Set<string>();
  const given = new Set<FileId>();
  const gone: FileId[] = [];
  for (const { from, id, type, names: places, left: outside, conflict } of moved.objects) {
    const ino = numbers.inFlight(id) ?? numbers.of(from);
    const [place] = places;
    const bearer = state.dirtyWithId(id)?.ino;
    if (ino === undefined || place === undefined || given.has(id) || (bearer !== undefined && bearer !== ino)) continue;
    given.add(id);
    if (from !== id && numbers.of(from) === ino) gone.push(from);
    const row: InodeRow = { ino, id, type, ...place };
    // Objects of the epoch in flight are reported with their rows.
    const isKnown = state.object(ino) === undefined || numbers.inFlight(id) !== undefined;
    followed.set(ino, { ino, row, base: isKnown ? undefined : { names: places, conflict }, links: undefined });
    for (const { parent, name } of outside) {
      const directory = numbers.of(parent);
      if (directory === undefined) continue;
      left.add(`${ino}/${linkKey({ parent: directory, name })}`);
      names.push({ parent: directory, name });
    }
  }
  for (const object of numbers.live()) {
    const { ino } = object;
    const now = [...object.links];
    const all = now.map((link) => renamed.get(linkKey(link)) ?? link);
    const some = all.filter((link) => !left.has(`${ino}/${linkKey(link)}`));
    // Without any name, what was written to the object could not be found.
    const links = some.length === 0 && all.length > 0 ? (nameInCopy(followed.get(ino)?.row, numbers) ?? all) : some;
    if (links.length === now.length && links.every((link, index) => link === now[index])) continue;
    followed.set(ino, { ...(followed.get(ino) ?? { ino, row: undefined, base: undefined }), links });
  }
  // A change of the copy is not a change of the version that was kept.
  for (const id of gone) numbers.leave(id);
  const kept = keepingOf(state, changed, numbers);
  const objects = [...Array.from(numbers.added, numbered), ...followed.values(), ...kept.objects];
  return { objects, inodes: objects.map(({ ino }) => ino), names: [...names, ...kept.names] };
}

/** `heirs`: from directories that were taken over to the directories that took them over. */
export function follow(state: OverlayState, followed: readonly FollowedObject[], heirs: ReadonlyMap<Ino, Ino>): void {
  for (const { ino, row, base, links, kept, hidden } of followed) {
    const object = state.object(ino);
    // It was removed here, and the bucket does not have it: the copy's object gets a number of its own.
    if (object !== undefined && isUnlinked(object) && !state.isShared(object)) continue;
    if (object === undefined && kept !== undefined) keep(state, kept, row, hidden === true);
    if (object !== undefined && row !== undefined && base !== undefined) {
      state.unidentify(object);
      object.id = row.id;
      object.conflict = base.conflict;
      if (object.base !== undefined) state.setBase(object, { ...object.base, conflict: base.conflict });
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

/** Others changed the object: it stays as it was seen here, and gains nothing new, until both sides are merged. */
function keep(state: OverlayState, kept: KeptObject, row: InodeRow | undefined, hidden: boolean): void {
  if (row !== undefined) state.inodes.put(row);
  const object = keptObject(kept, state.epoch);
  state.add(object);
  state.touch(object);
  if (!hidden) return;
  state.relink(object, []);
  object.forgotten = true;
}

const NO_MOVES: MovedVersions = { objects: [], names: [] };
const NOTHING: Following = { objects: [], inodes: [], names: [] };

function numbered(row: InodeRow): FollowedObject {
  return { ino: row.ino, row, base: undefined, links: undefined };
}

/** By link, where each name leads now; and all renamed names. */
function renamedNames(state: OverlayState, { names: moves }: MovedVersions, numbers: InodeNumbers) {
  const renamed = new Map<string, Link>();
  const names: Link[] = [];
  for (const { from, to } of moves) {
    const parent = numbers.of(from.parent);
    if (parent === undefined) continue;
    names.push({ parent, name: from.name });
    const isUsed = state.entry(parent, from.name) !== undefined;
    const target = isUsed ? numbers.given(to.parent) : numbers.of(to.parent);
    if (target === undefined) continue;
    names.push({ parent: target, name: to.name });
    renamed.set(linkKey({ parent, name: from.name }), { parent: target, name: to.name });
  }
  return { renamed, names };
}

function nameInCopy(row: InodeRow | undefined, numbers: InodeNumbers): Link[] | undefined {
  const parent = row && numbers.of(row.parent);
  return parent === undefined || row === undefined ? undefined : [{ parent, name: row.name }];
}

function linkKey({ parent, name }: Link): string {
  return `${parent}/${name}`;
}
