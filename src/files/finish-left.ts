/** At the door's opening: files that a killed run left under temporary names get their names back, or are removed. */
import type { FileName } from "../base/ids.ts";
import { describeError, type Log } from "../base/log.ts";
import { escapeForPrint } from "../base/names.ts";
import { RENAME_NOREPLACE } from "../vfs/filesystem.ts";
import { removeWhole, type RemovePorts } from "./remove.ts";
import { findPlace, type Place } from "./place.ts";
import { isTemporary } from "./temporary-name.ts";
import type { Unfinished, UnfinishedKey, UnfinishedWork } from "./unfinished.ts";

/** Work whose blocks are unavailable waits for the next run. Never rejects. */
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
      const name = left.was === undefined ? undefined : await putBack(ports, place, left.was);
      if (name !== undefined)
        log.info("restored the name of an object that a killed run had moved aside", { path, name });
      else {
        await removeWhole(ports, place.parent, place.name);
        log.info("removed an object that a killed run left under a temporary name", { path });
      }
      unfinished.end(key);
    } catch (error) {
      log.warn("could not clean up an object that a killed run left under a temporary name", {
        path,
        error: describeError(error),
      });
    }
  }
  unfinished.forget(gone);
}

type NamedPlace = Pick<Place, "parent"> & { readonly name: NonNullable<Place["name"]> };

/** Undefined: no temporary file of ours has the name. */
async function placeOf({ access }: RemovePorts, { path }: Unfinished): Promise<NamedPlace | undefined> {
  const place = await access.run((fs) => findPlace(fs, path, "itself"));
  const name = place?.name;
  if (place === undefined || name === undefined || !isTemporary(name)) return undefined;
  return place.attributes === undefined && !place.isHidden ? undefined : { parent: place.parent, name };
}

/** If its name is taken, the interrupted replacement's outcome is unknown: it is kept beside that file. */
async function putBack({ access }: RemovePorts, { parent, name }: NamedPlace, was: FileName): Promise<FileName> {
  return access.change(undefined, (fs) => {
    for (let count = 0; ; count++) {
      const again = nameAgain(was, count);
      if (fs.lookup(parent, again) !== undefined) continue;
      fs.rename(parent, name, parent, again, RENAME_NOREPLACE);
      return again;
    }
  });
}

function nameAgain(was: FileName, count: number): FileName {
  if (count === 0) return was;
  return (count === 1 ? `${was} (replaced)` : `${was} (replaced ${count})`) as FileName;
}
