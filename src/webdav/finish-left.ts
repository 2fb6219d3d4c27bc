/** When the door opens: what a run that was killed left under temporary names gets its name back, or is removed. */
import { describeError, type Log } from "../base/log.ts";
import { escapeForPrint } from "../base/names.ts";
import { RENAME_NOREPLACE } from "../vfs/filesystem.ts";
import { removeWhole, type RemovePorts } from "./collections.ts";
import { findPlace, type Place } from "./place.ts";
import { isTemporary } from "./temporary-name.ts";
import type { Unfinished, UnfinishedKey, UnfinishedWork } from "./unfinished.ts";

/** What cannot be finished, since blocks of it cannot be had, waits for the next run. Never rejects. */
export async function finishLeft(ports: RemovePorts, unfinished: UnfinishedWork, log: Log): Promise<void> {
  const gone: UnfinishedKey[] = [];
  for (const [key, left] of unfinished.all) {
    const path = escapeForPrint(left.path.join("/"));
    try {
      const place = await placeOf(ports, left);
      if (place === undefined) {
        gone.push(key);
        continue;
      }
      if (await putBack(ports, place, left)) log.info("what a killed run put aside has its name again", { path });
      else {
        unfinished.isRubbish(key);
        await removeWhole(ports, place.parent, place.name);
        log.info("what a killed run left under a temporary name was removed", { path });
      }
      unfinished.end(key);
    } catch (error) {
      log.warn("what a killed run left under a temporary name stays", { path, error: describeError(error) });
    }
  }
  unfinished.forget(gone);
}

type NamedPlace = Pick<Place, "parent"> & { readonly name: NonNullable<Place["name"]> };

/** Undefined: nothing of ours has the name. */
async function placeOf({ access }: RemovePorts, { path }: Unfinished): Promise<NamedPlace | undefined> {
  const place = await access.run((fs) => findPlace(fs, path, "itself"));
  const name = place?.name;
  if (place === undefined || name === undefined || !isTemporary(name)) return undefined;
  return place.attributes === undefined && !place.isHidden ? undefined : { parent: place.parent, name };
}

/** Whether it had a name, and that is free. */
async function putBack({ access }: RemovePorts, { parent, name }: NamedPlace, { was }: Unfinished): Promise<boolean> {
  if (was === undefined) return false;
  return access.change(undefined, (fs) => {
    if (fs.lookup(parent, was) !== undefined) return false;
    fs.rename(parent, name, parent, was, RENAME_NOREPLACE);
    return true;
  });
}
