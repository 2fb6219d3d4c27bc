/** COPY: made beside its destination, and put there when it is complete. */
import type { FileName, Ino } from "../base/ids.ts";
import { ERRNO } from "../base/errno.ts";
import { Pace } from "../base/pace.ts";
import { FsError, type Attributes, type FileSystem } from "../vfs/filesystem.ts";
import { answer, type Call } from "./call.ts";
import { removeWhole } from "./collections.ts";
import { checkedEnds, transferOf, type Ends, type Transfer } from "./destination.ts";
import { checkWritable } from "./change-check.ts";
import { COPY_STEP_BYTES, DAV_LISTING_BATCH, DAV_SLICE_MS } from "./limits.ts";
import { isFile, isFolder, isLink } from "./place.ts";
import { Refusal } from "./refusal.ts";
import { copyXattrs } from "./replacement.ts";
import { Takeover } from "./takeover.ts";
import { temporaryName } from "./temporary-name.ts";

export async function copy(call: Call): Promise<void> {
  checkWritable(call);
  const transfer = transferOf(call);
  const isDeep = depthOf(call);
  const { source, target } = await call.access.run((fs) => checkedEnds(call, fs, transfer, false));
  using _source = call.access.open.hold(source.attributes.ino);
  const made = { parent: target.parent, name: temporaryName(call.random) };
  // A step's copy is over before anything comes between: it is not worth a write to the disk.
  const isLong = isFolder(source.attributes) || source.attributes.size > COPY_STEP_BYTES;
  const path = [...target.path.slice(0, -1), made.name];
  const work = isLong ? call.unfinished.begin({ path, was: undefined }) : undefined;
  let replaced: boolean;
  try {
    const ino = await new Copying(call).copy(source.attributes, made.parent, made.name, isDeep);
    replaced = await putInPlace(call, transfer, { ...made, ino });
  } catch (error) {
    await removeWhole(call, made.parent, made.name);
    if (work !== undefined) call.unfinished.end(work);
    throw error;
  }
  if (work !== undefined) call.unfinished.end(work);
  answer(call, replaced ? 204 : 201);
}

/** Whether it replaced something. */
async function putInPlace(
  call: Call,
  transfer: Transfer,
  made: { readonly parent: Ino; readonly name: FileName; readonly ino: Ino },
): Promise<boolean> {
  const takeover = new Takeover(call);
  try {
    const ends = await call.access.change(undefined, (fs): Ends => {
      const now = checkedEnds(call, fs, transfer, false);
      takeover.run(fs, made, fs.getAttributes(made.ino), now.target);
      return now;
    });
    call.locks.removed(ends.target.path, true);
    await takeover.clear();
    call.access.fs.closed(made.ino);
    return takeover.replaced;
  } catch (error) {
    await call.access.change(undefined, (fs) => takeover.undo(fs));
    throw error;
  }
}

interface Folder {
  readonly from: Ino;
  readonly to: Ino;
}

class Copying {
  readonly #call: Call;
  readonly #pace: Pace;

  constructor(call: Call) {
    this.#call = call;
    this.#pace = new Pace(call.clock, DAV_SLICE_MS);
  }

  async copy(source: Attributes, parent: Ino, name: FileName, isDeep: boolean): Promise<Ino> {
    if (!isFolder(source)) return this.#file(source, parent, name);
    const to = await this.#folder(source, parent, name);
    const folders: Folder[] = isDeep ? [{ from: source.ino, to }] : [];
    for (let at = folders.pop(); at !== undefined; at = folders.pop()) await this.#members(at, folders);
    return to;
  }

  /** Links stay links: to follow them could go round in circles. What is not shown is left out. */
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
          // It went while the copy was made.
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

  async #file(source: Attributes, parent: Ino, name: FileName): Promise<Ino> {
    const { access, caller } = this.#call;
    using _source = access.open.hold(source.ino);
    const ino = await access.change(undefined, (fs) => {
      const known = fs.lookup(parent, name);
      fs.listXattrs(source.ino);
      const made = known ?? fs.makeNode(parent, name, S_IFREG | (source.mode & PLAIN_PERMISSIONS), 0, caller);
      copyXattrs(fs, source.ino, made.ino);
      return made.ino;
    });
    await this.#bytes(source, ino);
    return ino;
  }

  async #bytes(source: Attributes, to: Ino): Promise<void> {
    const { access, etags } = this.#call;
    const { ino: from, size } = source;
    if (size === 0) return;
    const bytes = await access.run(() => etags.bytesOf(source));
    // Holes stay holes.
    await access.change(to, (fs) => fs.setAttributes(to, { size }));
    for (let at = 0; at < size;) {
      access.signal.throwIfAborted();
      at = await access.change(to, (fs) => {
        if (!etags.has(fs, bytes)) throw new Refusal(409, "What is copied is being changed.");
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
    if (name !== "." && name !== ".." && attributes !== undefined) entries.push({ name, attributes });
    return true;
  });
  return { entries, next, isEnd: seen < DAV_LISTING_BATCH };
}

function depthOf({ request }: Call): boolean {
  const depth = request.headers["depth"] ?? "infinity";
  if (depth === "0") return false;
  if (typeof depth === "string" && /^infinity$/i.test(depth)) return true;
  throw new Refusal(400, "The Depth of a copy is 0 or infinity.");
}
