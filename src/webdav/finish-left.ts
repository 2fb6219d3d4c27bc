/** When the door opens: what a run that was killed left under temporary names gets its name back, or is removed. */
import type { FileName } from "../base/ids.ts";
import { describeError, type Log } from "../base/log.ts";
import { escapeForPrint } from "../base/names.ts";
import { RENAME_NOREPLACE } from "../vfs/filesystem.ts";
import type { Call } from "./call.ts";
import { removeWhole } from "./collections.ts";
import { findPlace } from "./place.ts";
import { isTemporary } from "./temporary-name.ts";
import type { Unfinished, UnfinishedWork } from "./unfinished.ts";

type Ports = Pick<Call, "access" | "clock">;

/** What cannot be finished, since blocks of it cannot be had, waits for the next run. Never rejects. */
export async function finishLeft(ports: Ports, unfinished: UnfinishedWork, log: Log): Promise<void> {
  for (const left of unfinished.all) {
    const path = escapeForPrint(left.path.join("/"));
    try {
      const done = await finish(ports, left);
      unfinished.end(left);
      if (done !== undefined) log.info(`what a killed run left under a temporary name was ${done}`, { path });
    } catch (error) {
      log.warn("what a killed run left under a temporary name stays", { path, error: describeError(error) });
    }
  }
}

async function finish(ports: Ports, { path, was }: Unfinished): Promise<"removed" | "put back" | undefined> {
  const { access } = ports;
  const place = await access.run((fs) => findPlace(fs, path, "itself"));
  const name = place?.name;
  if (place === undefined || name === undefined || !isTemporary(name)) return undefined;
  if (place.attributes === undefined && !place.isHidden) return undefined;
  const { parent } = place;
  const putBack = (to: FileName) =>
    access.change(undefined, (fs) => {
      if (fs.lookup(parent, to) !== undefined) return false;
      fs.rename(parent, name, parent, to, RENAME_NOREPLACE);
      return true;
    });
  if (was !== undefined && (await putBack(was))) return "put back";
  await removeWhole(ports, parent, name);
  return "removed";
}
