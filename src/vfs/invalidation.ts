/** What doors must forget when the base changes: derived from the rows that others changed, for inodes known here. */
import { type FileId, type Ino, ROOT_ID, ROOT_INO } from "../base/ids.ts";
import { MAX_INVALIDATIONS } from "../base/limits.ts";
import type { BaseChange } from "../fstree/change-set.ts";
import type { Link } from "../overlay/links.ts";
import type { Invalidations } from "./filesystem.ts";
import type { Objects } from "./objects.ts";

const EVERYTHING: Invalidations = { entries: [], inodes: [], all: true };

/**
 * Drops what these changes make stale from the caches. Returns what doors must drop: that, the inodes in `also`, which now
 * show something else, and the names in `left`, which may lead nowhere. Call this once the overlay is on the new base,
 * before anything is read from it.
 */
export function invalidate(
  objects: Objects,
  changes: readonly BaseChange[] | undefined,
  also: readonly Ino[],
  left: readonly Link[],
): Invalidations {
  const { clean, overlay } = objects;
  objects.others.note(changes);
  if (changes === undefined || changes.length > MAX_INVALIDATIONS) {
    clean.clear();
    objects.subdirectories.noteAll();
    return EVERYTHING;
  }
  const entries: { parent: Ino; name: Extract<BaseChange, { kind: "dentry" }>["name"]; removed?: Ino }[] = [];
  const inodes = new Set<Ino>(also);
  const gone = goneIds(changes);
  const changed = (id: FileId | undefined): Ino | undefined => {
    const ino = id === undefined ? undefined : inoOf(objects, id);
    if (ino !== undefined) inodes.add(ino);
    return ino;
  };
  for (const change of changes) {
    if (change.kind === "self") {
      changed(change.id);
      continue;
    }
    // The directory itself is listed too: doors that do not know the name would drop nothing of it.
    const parent = changed(change.parent);
    objects.subdirectories.note(parent, change.parent, change.name, change.after);
    const before = changed(change.before);
    if (change.after !== change.before) changed(change.after);
    if (parent === undefined) continue;
    clean.forgetName(parent, change.name);
    if (change.before === change.after) continue;
    // If the overlay has the name, it may lead elsewhere, but its old object is not gone.
    const isGone = change.after === undefined && overlay.state.entry(parent, change.name) === undefined;
    const removed = isGone && change.before !== undefined && gone.has(change.before) ? before : undefined;
    const wasLast = removed !== undefined && (clean.known(removed)?.names ?? 0) === 1 && !isUsed(objects, removed);
    entries.push(wasLast ? { parent, name: change.name, removed } : { parent, name: change.name });
  }
  for (const { parent, name } of left) {
    inodes.add(parent);
    clean.forgetName(parent, name);
    entries.push({ parent, name });
  }
  for (const ino of inodes) clean.forget(ino, []);
  return { entries, inodes: [...inodes], all: false };
}

/**
 * Directories in which the epoch in flight created, moved or removed directories. Their link count is a guess until the
 * epoch is published: others may have done the same in the same directories.
 */
export function recountedBy(objects: Objects): Set<Ino> {
  const recounted = new Set<Ino>();
  for (const { base, baseNames, record, names } of objects.overlay.state.inFlight?.changes.objects ?? []) {
    if ((record ?? base)?.type !== "directory") continue;
    const [before] = baseNames;
    const [now] = names;
    const left = before && inoOf(objects, before.parent);
    if (left === now?.parent && before?.name === now?.name) continue;
    for (const parent of [left, now?.parent]) if (parent !== undefined) recounted.add(parent);
  }
  return recounted;
}

/** Ids that lost a name and gained none. */
function goneIds(changes: readonly BaseChange[]): Set<FileId> {
  const gone = new Set<FileId>();
  for (const change of changes) if (change.kind === "dentry" && change.before !== undefined) gone.add(change.before);
  for (const change of changes) if (change.kind === "dentry" && change.after !== undefined) gone.delete(change.after);
  return gone;
}

function inoOf(objects: Objects, id: FileId): Ino | undefined {
  if (id === ROOT_ID) return ROOT_INO;
  const { state } = objects.overlay;
  return state.dirtyWithId(id)?.ino ?? state.inodes.find(id)?.ino;
}

/** Whether it still exists here, although others removed it. */
function isUsed({ overlay, held }: Objects, ino: Ino): boolean {
  return overlay.state.object(ino) !== undefined || held.of(ino) !== undefined;
}
