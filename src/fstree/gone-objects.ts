/** Tells which objects a tree no longer has, from the places where they were last seen. */
import { unless } from "../base/unless.ts";
import type { Cid, FileId } from "../base/ids.ts";
import { hasCode } from "../base/errors.ts";
import { isGone } from "../blocks/not-found.ts";
import type { FileType } from "../format/files/record.ts";
import { birthId } from "../format/files/keys.ts";
import { dentryId } from "../format/files/rows.ts";
import type { Change } from "../tree/diff.ts";
import type { NodeStore } from "../tree/node-store.ts";
import { peekBackrefs, peekDentry, peekSelf, whenLoaded } from "./fs-reader.ts";
import { birthRows, findMovedBack } from "./merge/moved-back.ts";
import type { Place } from "./object-rows.ts";

/** An object, and a place that it has or had. Of directories, the place does not count. */
export interface SeenObject extends Place {
  readonly id: FileId;
  readonly type: FileType;
}

/** The most rows searched for moved files. */
const MOST_ROWS = 4_096;
/** Rows searched at a time. */
const PORTION = 256;

/**
 * The objects that the tree certainly does not have. If a node cannot be read, its objects count as there. `pause` is awaited
 * now and then.
 */
export async function goneFrom<Seen extends SeenObject>(
  nodes: NodeStore,
  tree: Cid,
  seen: readonly Seen[],
  pause: () => Promise<void>,
): Promise<Seen[]> {
  const missing: Seen[] = [];
  for (const each of seen) if (!(await isThere(nodes, tree, each))) missing.push(each);
  const moved = new Set(missing.filter(mayBeAtBirthPlace).map(({ id }) => id));
  const there = await atBirthPlaces(nodes, tree, moved, pause);
  return missing.filter(({ id }) => !there.has(id));
}

async function isThere(nodes: NodeStore, tree: Cid, seen: SeenObject): Promise<boolean> {
  return unless(isUnreadable, () => whenLoaded(nodes, () => peekIsThere(nodes, tree, seen)), true);
}

function peekIsThere(nodes: NodeStore, tree: Cid, { id, type, parent, name }: SeenObject): boolean {
  if (type !== "directory") {
    const dentry = peekDentry(nodes, tree, parent, name);
    if (dentry !== undefined && dentryId(parent, name, dentry) === id) return true;
  }
  return peekSelf(nodes, tree, id) !== undefined || peekBackrefs(nodes, tree, id, 1).length > 0;
}

/** No row under its id tells of a file that was moved back to where it was created. */
function mayBeAtBirthPlace({ id, type, parent, name }: SeenObject): boolean {
  return type !== "directory" && birthId(parent, name, type, 0) !== id;
}

/** Which of these files are where they were created: all of them, if that is unknown or would take long to find out. */
async function atBirthPlaces(
  nodes: NodeStore,
  tree: Cid,
  ids: ReadonlySet<FileId>,
  pause: () => Promise<void>,
): Promise<ReadonlySet<FileId>> {
  let rows = 0;
  async function* some(): AsyncGenerator<Change> {
    for await (const row of birthRows(nodes, tree, ids)) {
      if (++rows > MOST_ROWS) return;
      if (rows % PORTION === 0) await pause();
      yield row;
    }
  }
  try {
    const found = await findMovedBack(some(), ids);
    return rows > MOST_ROWS ? ids : new Set(found.keys());
  } catch (error) {
    if (isUnreadable(error)) return ids;
    throw error;
  }
}

function isUnreadable(error: unknown): boolean {
  return isGone(error) || hasCode(error, "format_invalid");
}
