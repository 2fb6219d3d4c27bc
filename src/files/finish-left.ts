/** At the door's opening: files that a killed run left under temporary names get their names back, or are removed. */
import type { FileName } from "../base/ids.ts";
import { describeError, type Log } from "../base/log.ts";
import { escapeForPrint } from "../base/names.ts";
import { putBack } from "./put-back.ts";
import { removeWhole, type RemovePorts } from "./remove.ts";
import { lookUpPath, type ResolvedPath } from "./resolved-path.ts";
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
      const name = await finishOne(ports, place, left);
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

/** Removes the object. If it had a name that people saw, it gets that name or one beside it instead, which is returned. */
async function finishOne(ports: RemovePorts, place: NamedPlace, { was }: Unfinished): Promise<FileName | undefined> {
  if (was !== undefined) return putBack(ports.access, place, was);
  await removeWhole(ports, place.parent, place.name);
  return undefined;
}

type NamedPlace = Pick<ResolvedPath, "parent"> & { readonly name: NonNullable<ResolvedPath["name"]> };

/** Undefined: no temporary file of ours has the name. */
async function placeOf({ access }: RemovePorts, { path }: Unfinished): Promise<NamedPlace | undefined> {
  const place = await access.run((fs) => lookUpPath(fs, path, "itself"));
  const name = place?.name;
  if (place === undefined || name === undefined || !isTemporary(name)) return undefined;
  return place.attributes === undefined && !place.isHidden ? undefined : { parent: place.parent, name };
}
