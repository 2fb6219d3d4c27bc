/** At the door's opening: files that a killed run left under temporary names get their names back, or are removed. */
import type { FileName } from "../base/ids.ts";
import { describeError, type Log } from "../base/log.ts";
import { escapeForPrint } from "../base/names.ts";
import type { OthersWatch } from "../vfs/filesystem.ts";
import { putBack } from "./put-back.ts";
import { removeWhole, type RemovePorts } from "./remove.ts";
import { lookUpPath, type ResolvedPath } from "./resolved-path.ts";
import { isTemporary } from "./temporary-name.ts";
import type { Unfinished, UnfinishedKey, UnfinishedWork } from "./unfinished.ts";

/** Work whose blocks are unavailable waits for the next run. Never rejects. */
export async function finishLeft(ports: RemovePorts, unfinished: UnfinishedWork, log: Log): Promise<void> {
  const gone: UnfinishedKey[] = [];
  using others = ports.access.fs.watchOthers?.();
  for (const [key, left] of unfinished.all) {
    const path = escapeForPrint(left.path.join("/"));
    try {
      const place = await placeOf(ports, left);
      if (place === undefined) {
        gone.push(key);
        continue;
      }
      const name = await finishOne(ports, place, left, others);
      if (name === undefined) log.info("removed an object that a killed run left under a temporary name", { path });
      else log.info("restored the name of an object that a killed run had moved aside", { path, name });
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

/**
 * Removes the object, or gives it a name that people see, and returns that name. An object that had a name before is removed
 * only if it was replaced for good; what others have changed in it since stays.
 */
async function finishOne(
  ports: RemovePorts,
  { parent, name }: NamedPlace,
  { was, replacedAt }: Unfinished,
  others: OthersWatch | undefined,
): Promise<FileName | undefined> {
  const hasOthers = was !== undefined && (replacedAt === undefined || replacedAt !== others?.root);
  const stays = was === undefined ? undefined : others;
  if (!hasOthers && (await removeWhole(ports, parent, name, stays))) return undefined;
  return was === undefined ? undefined : putBack(ports.access, { parent, name }, was);
}

type NamedPlace = Pick<ResolvedPath, "parent"> & { readonly name: NonNullable<ResolvedPath["name"]> };

/** Undefined: no temporary file of ours has the name. */
async function placeOf({ access }: RemovePorts, { path }: Unfinished): Promise<NamedPlace | undefined> {
  const place = await access.run((fs) => lookUpPath(fs, path, "itself"));
  const name = place?.name;
  if (place === undefined || name === undefined || !isTemporary(name)) return undefined;
  return place.attributes === undefined && !place.isHidden ? undefined : { parent: place.parent, name };
}
