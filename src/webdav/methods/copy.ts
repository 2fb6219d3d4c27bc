/** COPY: created beside its destination, and moved there when complete. */
import type { Ino } from "../../base/ids.ts";
import { describeError } from "../../base/log.ts";
import type { Attributes, FileSystem } from "../../vfs/filesystem.ts";
import { answer, type Call } from "../call.ts";
import { removeWhole } from "../../files/remove.ts";
import { makeDurable } from "../durable.ts";
import { checkedEnds, transferOf, type Ends, type Transfer } from "./destination.ts";
import { checkWritable } from "../locks/change-check.ts";
import { changing, Copying, PLAIN_PERMISSIONS } from "./copying.ts";
import { COPY_RETRIES } from "../limits.ts";
import { isFolder, type ResolvedPath } from "../../files/resolved-path.ts";
import { Refusal } from "../refusal.ts";
import { copyXattrs } from "../../files/replacement.ts";
import { isStale } from "../../files/stale.ts";
import { type Named, Takeover } from "../../files/takeover.ts";
import { TemporaryLink } from "../../files/temporary-link.ts";
import { temporaryName } from "../../files/temporary-name.ts";

export async function copy(call: Call): Promise<void> {
  checkWritable(call);
  const transfer = transferOf(call);
  const isDeep = depthOf(call);
  for (let tries = 0; ; tries++) {
    try {
      return answer(call, (await copyNow(call, transfer, isDeep)) ? 204 : 201);
    } catch (error) {
      // Something else has the source's name, or nothing.
      if (!isStale(error)) throw error;
      if (tries === COPY_RETRIES) throw changing();
    }
  }
}

/** Returns whether it replaced something. */
async function copyNow(call: Call, transfer: Transfer, isDeep: boolean): Promise<boolean> {
  const { source, target, hold } = await call.access.run((fs) => {
    const ends = checkedEnds(call, fs, transfer, false);
    return { ...ends, hold: call.access.open.hold(ends.source.attributes.ino) };
  });
  using _hold = hold;
  return isFolder(source.attributes)
    ? await copyFolder(call, transfer, source.attributes, isDeep, target)
    : await copyFile(call, transfer, source.attributes, target);
}

/** As for PUT: unnamed until it is complete, so an interrupted copy leaves nothing. */
async function copyFile(
  call: Call,
  transfer: Transfer,
  source: Attributes,
  { parent }: ResolvedPath,
): Promise<boolean> {
  const { access, caller } = call;
  const { ino, hold } = await access.change(undefined, (fs) => {
    fs.listXattrs(source.ino);
    const { ino } = fs.makeUnnamed(parent, source.mode & PLAIN_PERMISSIONS, caller);
    copyXattrs(fs, source.ino, ino);
    return { ino, hold: access.open.hold(ino) };
  });
  using _hold = hold;
  await new Copying(call).bytes(source.ino, ino);
  const link = new TemporaryLink(call, ino);
  try {
    return await putInPlace(call, transfer, ino, (fs, target, move) => link.use(fs, target, move));
  } catch (error) {
    await link.undo();
    throw error;
  }
}

async function copyFolder(
  call: Call,
  transfer: Transfer,
  source: Attributes,
  isDeep: boolean,
  { parent, path }: ResolvedPath,
): Promise<boolean> {
  const { unfinished, random } = call;
  const made = { parent, name: temporaryName(random) };
  const key = unfinished.begin({ path: [...path.slice(0, -1), made.name] });
  try {
    const copying = new Copying(call);
    const ino = await copying.folder(source, made, isDeep);
    await copying.makeFilesDurable();
    const replaced = await putInPlace(call, transfer, ino, (_fs, _target, move) => move(made));
    unfinished.end(key);
    return replaced;
  } catch (error) {
    if (await discard(call, made)) unfinished.end(key);
    throw error;
  }
}

/** Moves the copy from where `from` says. Returns whether it replaced something. */
async function putInPlace(
  call: Call,
  transfer: Transfer,
  made: Ino,
  from: (fs: FileSystem, target: ResolvedPath, move: (named: Named) => void) => void,
): Promise<boolean> {
  const takeover = new Takeover(call);
  const { target } = await takeover.change((fs): Ends => {
    const now = checkedEnds(call, fs, transfer, false);
    from(fs, now.target, (named) => takeover.run(fs, named, fs.getAttributes(made), now.target));
    if (!isFolder(now.source.attributes)) call.lockedVersions.follow(now.target.path, made);
    return now;
  });
  try {
    // At once, before others take locks here, which must stay.
    call.locks.removed(target.path, true);
  } finally {
    await takeover.clear();
  }
  await makeDurable(call, made);
  return takeover.replaced;
}

/** Removes a canceled copy. Returns whether it is gone: if not, the door's next opening removes it. */
async function discard({ access, clock, log }: Call, { parent, name }: Named): Promise<boolean> {
  try {
    await removeWhole({ access: access.onward(), clock }, parent, name);
    return true;
  } catch (error) {
    log.warn("could not remove a canceled copy; it keeps a temporary name until the door opens again", {
      name,
      error: describeError(error),
    });
    return false;
  }
}

function depthOf({ request }: Call): boolean {
  const depth = request.headers["depth"] ?? "infinity";
  if (depth === "0") return false;
  if (typeof depth === "string" && /^infinity$/i.test(depth)) return true;
  throw new Refusal(400, "The Depth of a COPY must be 0 or infinity.");
}
