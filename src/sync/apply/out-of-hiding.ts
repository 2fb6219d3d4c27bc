/** A directory must not move so that something in it is no longer ignored: the next scan would publish that. */
import type { Place } from "../../fstree/object-rows.ts";
import type { DiskPath } from "../disk/disk.ts";
import { isOwn } from "../disk/paths.ts";
import type { SyncDatabase } from "../known/database.ts";
import { pathInFolder } from "../known/path-in-folder.ts";
import type { IgnoreRules } from "../scan/ignore-rules.ts";
import { foundAt, within, type Walked } from "../scan/walk.ts";

interface Scanned {
  readonly db: SyncDatabase;
  readonly rules: IgnoreRules;
  readonly walked: Pick<Walked, "root" | "ignored">;
}

/**
 * Whether the folder's directory at `place` has something in it that is ignored there, and would not be ignored if the
 * directory were at `to`. Without `to`: whether it has something that is ignored.
 */
export function comesOutOfHiding({ db, rules, walked }: Scanned, place: Place, to?: DiskPath): boolean {
  const from = pathInFolder(db, place);
  // What is parked was out of sight when the folder was scanned.
  if (from === undefined || isOwn(from) || rules.isEmpty) return false;
  const directory = foundAt(walked.root, from);
  if (directory === undefined) return false;
  return within(directory).some((each) => {
    const names = walked.ignored.get(each) ?? [];
    const isUnknown = each.closed || each.unknown.length > 0;
    if (to === undefined) return names.length > 0 || isUnknown;
    const above = to.concat(each.path.slice(from.length));
    // What is in it is unknown.
    if (isUnknown && !rules.ignores(above, true)) return true;
    return names.some(({ name, isDirectory }) => !rules.ignores(above.concat(name), isDirectory));
  });
}
