/**
 * Directories that an epoch deletes although one of its own objects has a name in them: others gave it that name after the
 * directory was removed here. It stays, as if the epoch had not touched it; those above it then hold a stranger, and stay too.
 */
import type { FileId, Ino } from "../../base/ids.ts";
import type { ChangeSet } from "../change-set.ts";
import { survives } from "./identities.ts";

/** The same epoch without these deletions, and the directories. */
export function reviveDirectories(changes: ChangeSet): {
  readonly changes: ChangeSet;
  readonly revived: ReadonlyMap<Ino, FileId>;
} {
  const deleted = new Map(changes.objects.filter((object) => !survives(object)).map((object) => [object.ino, object]));
  const revived = new Map<Ino, FileId>();
  for (const { names } of deleted.size === 0 ? [] : changes.objects) {
    for (const { parent } of names) {
      const { id, base } = deleted.get(parent) ?? {};
      if (id !== undefined && base?.type === "directory") revived.set(parent, id);
    }
  }
  if (revived.size === 0) return { changes, revived };
  const objects = changes.objects.filter(({ ino }) => !revived.has(ino));
  return { changes: { ...changes, objects, directories: new Map([...changes.directories, ...revived]) }, revived };
}
