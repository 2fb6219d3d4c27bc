/** Copies a folder's members, and a file's bytes, while others may save files there. */
import type { FileName, Ino } from "../../base/ids.ts";
import { ERRNO } from "../../base/errno.ts";
import { mapConcurrent } from "../../base/concurrency.ts";
import { TimeSlice } from "../../base/time-slice.ts";
import { FsError, type Attributes, type FileSystem } from "../../vfs/filesystem.ts";
import { refuse } from "../../vfs/refusal.ts";
import type { Call } from "../call.ts";
import { makeDurable } from "../durable.ts";
import { removeWhole } from "../../files/remove.ts";
import { COPY_RETRIES, COPY_STEP_BYTES, COPY_SYNCS, DAV_LISTING_BATCH, DAV_SLICE_MS } from "../limits.ts";
import { isFile, isFolder, isLink } from "../../files/resolved-path.ts";
import { loop, Refusal } from "../refusal.ts";
import { copyXattrs } from "../../files/replacement.ts";
import { isStale } from "../../files/stale.ts";
import { isTemporary } from "../../files/temporary-name.ts";

interface Folder {
  readonly from: Ino;
  readonly to: Ino;
  /** Its name. Undefined: it is the source of the whole copy. */
  readonly member: Member | undefined;
}

/** A name in a folder that is copied. */
interface Member {
  readonly folder: Folder;
  readonly name: FileName;
  /** How often it no longer led to what was listed or looked up. */
  retries: number;
}

export class Copying {
  readonly #call: Call;
  readonly #pace: TimeSlice;
  /** Folders whose members are not copied yet. */
  #folders: Folder[] = [];
  /** Copies of files, some of which may be gone again. */
  readonly #files: Ino[] = [];

  constructor(call: Call) {
    this.#call = call;
    this.#pace = new TimeSlice(call.clock, DAV_SLICE_MS);
  }

  async folder(
    source: Attributes,
    { parent, name }: { readonly parent: Ino; readonly name: FileName },
    isDeep: boolean,
  ): Promise<Ino> {
    const to = await this.#folder(source, parent, name);
    if (isDeep) this.#folders.push({ from: source.ino, to, member: undefined });
    for (let at = this.#folders.pop(); at !== undefined; at = this.#folders.pop()) {
      try {
        await this.#members(at);
      } catch (error) {
        if (!isStale(error)) throw error;
        await this.#folderAnew(at, error);
      }
    }
    return to;
  }

  /** They share their syncs. */
  async makeFilesDurable(): Promise<void> {
    await mapConcurrent(this.#files, COPY_SYNCS, (ino) => makeDurable(this.#call, ino));
  }

  /** Links stay links: following them could lead into cycles. Hidden entries are left out. */
  async #members(folder: Folder): Promise<void> {
    const { access } = this.#call;
    for (let cookie = 0, isEnd = false; !isEnd;) {
      const batch = await access.run((fs) => listed(fs, folder.from, cookie));
      for (const { name, attributes } of batch.entries) {
        access.signal.throwIfAborted();
        const member: Member = { folder, name, retries: 0 };
        try {
          await this.#object(member, attributes);
        } catch (error) {
          if (!isStale(error)) throw error;
          await this.#anew(member);
        }
      }
      cookie = batch.next;
      isEnd = batch.isEnd;
      await this.#pace.breathe();
    }
  }

  /** The folder, or one around it, was removed or replaced. */
  async #folderAnew(folder: Folder, gone: unknown): Promise<void> {
    for (let at = folder.member; at !== undefined; at = at.folder.member) {
      try {
        return await this.#anew(at);
      } catch (error) {
        if (!isStale(error)) throw error;
      }
    }
    throw gone;
  }

  /** Copies what has the name now, if anything, in place of what had it before. Refuses ESTALE if its folder is gone. */
  async #anew(member: Member): Promise<void> {
    const { folder, name } = member;
    for (;;) {
      if (++member.retries > COPY_RETRIES) throw changing();
      const now = await this.#call.access.run((fs) => {
        checkNamed(fs, folder.from);
        return fs.lookup(folder.from, name);
      });
      this.#folders = this.#folders.filter((open) => !isWithin(open, member));
      await removeWhole(this.#call, folder.to, name);
      try {
        return now && (await this.#object(member, now));
      } catch (error) {
        if (!isStale(error)) throw error;
      }
    }
  }

  async #object(member: Member, attributes: Attributes): Promise<void> {
    const { access, caller } = this.#call;
    const { name, folder } = member;
    const { to } = folder;
    if (isFolder(attributes)) {
      checkOutside(attributes.ino, folder);
      this.#folders.push({ from: attributes.ino, to: await this.#folder(attributes, to, name), member });
    } else if (isFile(attributes)) await this.#file(attributes, to, name);
    else if (isLink(attributes)) {
      await access.change(undefined, (fs) => fs.makeSymlink(to, name, fs.readSymlink(attributes.ino), caller));
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
    await this.bytes(source.ino, ino);
    this.#files.push(ino);
  }

  /** Copies the bytes that the source has when this begins. Throws a Refusal, 409, if it changes before the end. */
  async bytes(from: Ino, to: Ino): Promise<void> {
    const { access, etags } = this.#call;
    const bytes = await access.run((fs) => etags.bytesOf(fs.getAttributes(from)));
    const { size } = bytes;
    if (size === 0) return;
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
export const PLAIN_PERMISSIONS = 0o777;

function isWithin(folder: Folder, member: Member): boolean {
  for (let at = folder.member; at !== undefined; at = at.folder.member) if (at === member) return true;
  return false;
}

/** Refuses a folder that lies in itself. */
function checkOutside(inside: Ino, folder: Folder): void {
  for (let at: Folder | undefined = folder; at !== undefined; at = at.member?.folder)
    if (at.from === inside) throw loop();
}

/** Refuses ESTALE for a folder that is gone, even if a program still has it open. */
function checkNamed(fs: FileSystem, folder: Ino): void {
  if (fs.getAttributes(folder).nlink === 0) throw refuse("ESTALE");
}

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
  checkNamed(fs, ino);
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

export function changing(): Refusal {
  return new Refusal(409, "The source kept changing during the copy.");
}
