/** COPY: created beside its destination, and moved there when complete. */
import type { FileName, Ino } from "../../base/ids.ts";
import { ERRNO } from "../../base/errno.ts";
import { describeError } from "../../base/log.ts";
import { TimeSlice } from "../../base/time-slice.ts";
import { FsError, type Attributes, type FileSystem } from "../../vfs/filesystem.ts";
import { answer, type Call } from "../call.ts";
import { removeWhole } from "../../files/remove.ts";
import { checkedEnds, transferOf, type Ends, type Transfer } from "./destination.ts";
import { checkWritable } from "../locks/change-check.ts";
import { COPY_STEP_BYTES, DAV_LISTING_BATCH, DAV_SLICE_MS } from "../limits.ts";
import { isFile, isFolder, isLink } from "../../files/place.ts";
import { Refusal } from "../refusal.ts";
import { copyXattrs } from "../../files/replacement.ts";
import { Takeover } from "../../files/takeover.ts";
import { isTemporary, temporaryName } from "../../files/temporary-name.ts";

export async function copy(call: Call): Promise<void> {
  checkWritable(call);
  const transfer = transferOf(call);
  const isDeep = depthOf(call);
  const { source, target } = await call.access.run((fs) => checkedEnds(call, fs, transfer, false));
  using _source = call.access.open.hold(source.attributes.ino);
  const made = { parent: target.parent, name: temporaryName(call.random) };
  const replaced = isFolder(source.attributes)
    ? await copyFolder(call, transfer, source.attributes, isDeep, { ...made, path: target.path.slice(0, -1) })
    : await copyFile(call, transfer, source.attributes, made);
  answer(call, replaced ? 204 : 201);
}

interface Named {
  readonly parent: Ino;
  readonly name: FileName;
}

/** As for PUT: unnamed until it is complete, so an interrupted copy leaves nothing. */
async function copyFile(call: Call, transfer: Transfer, source: Attributes, made: Named): Promise<boolean> {
  const { access, caller } = call;
  const { ino, hold } = await access.change(undefined, (fs) => {
    fs.listXattrs(source.ino);
    const { ino } = fs.makeUnnamed(made.parent, source.mode & PLAIN_PERMISSIONS, caller);
    copyXattrs(fs, source.ino, ino);
    return { ino, hold: access.open.hold(ino) };
  });
  using _hold = hold;
  await new Copying(call).bytes(source, ino);
  let isNamed = false;
  try {
    return await putInPlace(call, transfer, { ...made, ino }, (fs) => {
      // Called again when a block is missing.
      if (!isNamed) fs.link(ino, made.parent, made.name);
      isNamed = true;
    });
  } catch (error) {
    if (isNamed) await discard(call, made);
    throw error;
  }
}

async function copyFolder(
  call: Call,
  transfer: Transfer,
  source: Attributes,
  isDeep: boolean,
  { path, ...made }: Named & { readonly path: readonly FileName[] },
): Promise<boolean> {
  const { unfinished } = call;
  const key = unfinished.begin({ path: [...path, made.name], was: undefined });
  try {
    const ino = await new Copying(call).folder(source, made, isDeep);
    const replaced = await putInPlace(call, transfer, { ...made, ino });
    unfinished.end(key);
    return replaced;
  } catch (error) {
    if (await discard(call, made)) unfinished.end(key);
    throw error;
  }
}

/** Returns whether it replaced something. `before` is part of the change. */
async function putInPlace(
  call: Call,
  transfer: Transfer,
  made: Named & { readonly ino: Ino },
  before: (fs: FileSystem) => void = () => {},
): Promise<boolean> {
  const takeover = new Takeover(call);
  const { target } = await takeover.change((fs): Ends => {
    const now = checkedEnds(call, fs, transfer, false);
    before(fs);
    takeover.run(fs, made, fs.getAttributes(made.ino), now.target);
    return now;
  });
  await takeover.clear();
  call.locks.removed(target.path, true);
  call.access.fs.closed(made.ino);
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

interface Folder {
  readonly from: Ino;
  readonly to: Ino;
}

class Copying {
  readonly #call: Call;
  readonly #pace: TimeSlice;

  constructor(call: Call) {
    this.#call = call;
    this.#pace = new TimeSlice(call.clock, DAV_SLICE_MS);
  }

  async folder(source: Attributes, { parent, name }: Named, isDeep: boolean): Promise<Ino> {
    const to = await this.#folder(source, parent, name);
    const folders: Folder[] = isDeep ? [{ from: source.ino, to }] : [];
    for (let at = folders.pop(); at !== undefined; at = folders.pop()) await this.#members(at, folders);
    return to;
  }

  /** Links stay links: following them could lead into cycles. Hidden entries are left out. */
  async #members({ from, to }: Folder, folders: Folder[]): Promise<void> {
    const { access, caller } = this.#call;
    for (let cookie = 0, isEnd = false; !isEnd;) {
      const batch = await access.run((fs) => listed(fs, from, cookie));
      for (const { name, attributes } of batch.entries) {
        access.signal.throwIfAborted();
        try {
          if (isFolder(attributes))
            folders.push({ from: attributes.ino, to: await this.#folder(attributes, to, name) });
          else if (isFile(attributes)) await this.#file(attributes, to, name);
          else if (isLink(attributes)) {
            await access.change(undefined, (fs) => fs.makeSymlink(to, name, fs.readSymlink(attributes.ino), caller));
          }
        } catch (error) {
          // It was removed during the copy.
          if (!(error instanceof FsError && error.errno === ERRNO.ESTALE)) throw error;
        }
      }
      cookie = batch.next;
      isEnd = batch.isEnd;
      await this.#pace.breathe();
    }
  }

  #folder(source: Attributes, parent: Ino, name: FileName): Promise<Ino> {
    return this.#call.access.change(undefined, (fs) => {
      const known = fs.lookup(parent, name);
      fs.listXattrs(source.ino);
      const { ino } = known ?? fs.makeDirectory(parent, name, source.mode & PERMISSIONS, this.#call.caller);
      copyXattrs(fs, source.ino, ino);
      return ino;
    });
  }

  async #file(source: Attributes, parent: Ino, name: FileName): Promise<void> {
    const { access, caller } = this.#call;
    using _source = access.open.hold(source.ino);
    const ino = await access.change(undefined, (fs) => {
      const known = fs.lookup(parent, name);
      fs.listXattrs(source.ino);
      const made = known ?? fs.makeNode(parent, name, S_IFREG | (source.mode & PLAIN_PERMISSIONS), 0, caller);
      copyXattrs(fs, source.ino, made.ino);
      return made.ino;
    });
    await this.bytes(source, ino);
  }

  async bytes(source: Attributes, to: Ino): Promise<void> {
    const { access, etags } = this.#call;
    const { ino: from, size } = source;
    if (size === 0) return;
    const bytes = await access.run(() => etags.bytesOf(source));
    // Holes stay holes.
    await access.change(to, (fs) => fs.setAttributes(to, { size }));
    for (let at = 0; at < size;) {
      access.signal.throwIfAborted();
      at = await access.change(to, (fs) => {
        if (!etags.has(fs, bytes)) throw new Refusal(409, "The source changed during the copy.");
        const start = dataFrom(fs, from, at, size);
        const end = start === size ? size : start + fs.copyRange(from, start, to, start, COPY_STEP_BYTES);
        if (end === size) etags.copied(bytes, to);
        return end;
      });
      await this.#pace.breathe();
    }
  }
}

const S_IFREG = 0o100000;
const PERMISSIONS = 0o1777;
const PLAIN_PERMISSIONS = 0o777;

function dataFrom(fs: FileSystem, ino: Ino, at: number, size: number): number {
  try {
    return fs.seek(ino, at, "data");
  } catch (error) {
    if (error instanceof FsError && error.errno === ERRNO.ENXIO) return size;
    throw error;
  }
}

function listed(fs: FileSystem, ino: Ino, cookie: number) {
  const entries: { readonly name: FileName; readonly attributes: Attributes }[] = [];
  let next = cookie;
  let seen = 0;
  fs.readDirectory(ino, cookie, true, (entry) => {
    if (seen === DAV_LISTING_BATCH) return false;
    seen++;
    next = entry.next;
    const { name, attributes } = entry;
    if (name !== "." && name !== ".." && attributes !== undefined && !isTemporary(name))
      entries.push({ name, attributes });
    return true;
  });
  return { entries, next, isEnd: seen < DAV_LISTING_BATCH };
}

function depthOf({ request }: Call): boolean {
  const depth = request.headers["depth"] ?? "infinity";
  if (depth === "0") return false;
  if (typeof depth === "string" && /^infinity$/i.test(depth)) return true;
  throw new Refusal(400, "The Depth of a COPY must be 0 or infinity.");
}
