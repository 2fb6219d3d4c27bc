/** Inode numbers whose rows unpublished changes need, although the base may no longer have these objects. */
import type { Ino } from "../base/ids.ts";
import { placeOf } from "./dirty-units.ts";
import type { OverlayState } from "./state.ts";

/** Changed objects and `more`, the directories of their names now and in the base, and all directories above these. */
export function neededInodes(state: OverlayState, more: Iterable<Ino>): ReadonlySet<Ino> {
  const needed = new Set<Ino>();
  const need = (ino: Ino | undefined): void => {
    for (let at = ino; at !== undefined && !needed.has(at); at = placeOf(state, at)?.parent) needed.add(at);
  };
  for (const { ino, links, baseNames } of state.objects()) {
    need(ino);
    for (const { parent } of links) need(parent);
    for (const { parent } of baseNames) need(state.inodes.find(parent)?.ino);
  }
  for (const ino of more) need(ino);
  const { objects = [], directories = new Map<Ino, unknown>() } = state.inFlight?.changes ?? {};
  for (const { names } of objects) for (const { parent } of names) need(parent);
  for (const ino of directories.keys()) need(ino);
  return needed;
}
