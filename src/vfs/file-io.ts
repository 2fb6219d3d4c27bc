/** File contents: reading, writing, holes. */
import type { Ino } from "../base/ids.ts";
import { MAX_FILE_BYTES } from "../base/limits.ts";
import { uncachedRead } from "../content/uncached-read.ts";
import { peekContent } from "../content/read.ts";
import { peekSeek } from "../content/seek.ts";
import type { Content } from "../format/files/record.ts";
import type { Beginning } from "../overlay/beginnings.ts";
import type { DirtyObject } from "../overlay/dirty-object.ts";
import type { JournalRecord } from "../overlay/journal/journal-record.ts";
import type { Segment } from "../fstree/change-set.ts";
import { FALLOC_KEEP_SIZE, FALLOC_PUNCH_HOLE, FALLOC_ZERO_RANGE, FsError, NoRoomYet } from "./filesystem.ts";
import { BlockMiss } from "../blocks/block-store.ts";
import type { Objects } from "./objects.ts";
import { ReadAhead } from "./read-ahead.ts";
import { refuse } from "./refusal.ts";
import { SiblingFiles } from "./sibling-files.ts";

/** One step of copying a range. */
const COPY_BYTES = 1024 * 1024;

export class FileIo {
  readonly #objects: Objects;
  readonly #ahead = new ReadAhead();
  readonly #siblings = new SiblingFiles();
  #copyBuffer: Uint8Array | undefined;
  /** The generation of a large file being rewritten, while the disk has room for another copy of the written bytes. */
  #rewritten: number | undefined;

  constructor(objects: Objects) {
    this.#objects = objects;
  }

  read(ino: Ino, offset: number, length: number, target: Uint8Array): number {
    const { dirty, clean } = this.#objects.inode(ino);
    const file = dirty ?? clean?.record;
    checkFile(file.type);
    const count = Math.max(0, Math.min(length, file.size - offset, target.length));
    if (count === 0) return 0;
    if (dirty?.extents === undefined) this.#readBase(ino, file.content, file.size, offset, target.subarray(0, count));
    else this.#readDirty(dirty, offset, target.subarray(0, count));
    this.#accessed(dirty ?? clean, file.mtimeNs);
    return count;
  }

  readUncached(ino: Ino, offset: number, target: Uint8Array): number | Promise<number> {
    const { dirty, clean } = this.#objects.inode(ino);
    const { content, size, mtimeNs } = dirty ?? clean.record;
    const { loader } = this.#objects;
    const room = Math.min(target.length, size - offset);
    if (dirty?.extents !== undefined || content.kind !== "list" || room <= 0)
      return this.read(ino, offset, target.length, target);
    const { absent, end } = uncachedRead(loader.content, content.cid, size, offset, room);
    // Remote content is read ahead, as for every reader.
    if (absent.length === 0 && this.#ahead.goesOn(ino, offset)) return this.read(ino, offset, end - offset, target);
    this.#accessed(dirty ?? clean, mtimeNs);
    return absent.length > 0
      ? loader.readInto(absent, target)
      : loader.readContent(() => peekContent(loader.content, content, size, offset, end - offset, target));
  }

  write(ino: Ino, offset: number, bytes: Uint8Array): void {
    const { type } = this.#objects.record(ino);
    checkFile(type);
    checkRange(offset, bytes.length);
    if (bytes.length === 0) return;
    this.#objects.checkWritable(ino);
    const { overlay, clock } = this.#objects;
    const records: JournalRecord[] = [];
    this.#objects.keep(ino, records);
    const timeNs = clock.nowNs();
    const carried = overlay.carries(ino, offset, bytes.length);
    records.push(
      carried
        ? { kind: "written", ino, offset, bytes, timeNs }
        : { kind: "data", ino, offset, length: bytes.length, timeNs },
    );
    const again = this.#liveSegments(overlay.state.object(ino), offset, bytes.length);
    this.#requireRoom(ino, offset, bytes.length, again);
    const between = () => this.#writeData(ino, offset, bytes, again, carried);
    this.#objects.execute(records, { between, reason: () => (this.#isRewriting() ? "rewrite" : "write") });
    overlay.room.changed();
    const begun = overlay.data.beginnings.takeDue();
    if (begun !== undefined) this.#tell(begun);
  }

  allocate(ino: Ino, mode: number, offset: number, length: number): void {
    const { type, size } = this.#objects.record(ino);
    if (type !== "file") throw refuse("ENODEV");
    if (offset < 0 || length <= 0) throw refuse("EINVAL");
    const keepSize = (mode & FALLOC_KEEP_SIZE) !== 0;
    const punch = (mode & FALLOC_PUNCH_HOLE) !== 0;
    const zero = (mode & FALLOC_ZERO_RANGE) !== 0;
    const known = (mode & ~(FALLOC_KEEP_SIZE | FALLOC_PUNCH_HOLE | FALLOC_ZERO_RANGE)) === 0;
    if (!known || (punch && (zero || !keepSize))) throw refuse("EOPNOTSUPP");
    checkRange(offset, length);
    this.#objects.checkWritable(ino);
    const end = keepSize ? Math.min(offset + length, size) : offset + length;
    const records: JournalRecord[] = [];
    this.#objects.keep(ino, records);
    const timeNs = this.#objects.clock.nowNs();
    if (!punch && !zero) {
      // It reserves nothing: a file that is larger than the limit can still be written.
      const { freeBlocks, blockSize } = this.#objects.overlay.diskSpace();
      if (offset + length - size > freeBlocks * blockSize) throw refuse("ENOSPC");
      if (end <= size) return;
      records.push({ kind: "resize", ino, size: end, timeNs });
    } else {
      if (end <= offset) return;
      records.push({ kind: "hole", ino, offset, length: end - offset, timeNs });
    }
    this.#objects.execute(records, { urgent: punch, reason: () => "write" });
  }

  seek(ino: Ino, offset: number, whence: "data" | "hole"): number {
    const { dirty, clean } = this.#objects.inode(ino);
    const file = dirty ?? clean?.record;
    checkFile(file.type);
    if (offset < 0 || offset >= file.size) throw refuse("ENXIO");
    const found =
      dirty?.extents === undefined
        ? this.#seekBase(file.content, file.size, offset, whence)
        : this.#seekDirty(dirty, offset, whence);
    if (found === undefined) throw refuse("ENXIO");
    return found;
  }

  copyRange(from: Ino, fromOffset: number, to: Ino, toOffset: number, length: number): number {
    const { type, size } = this.#objects.record(from);
    checkFile(type);
    checkFile(this.#objects.type(to));
    const count = Math.max(0, Math.min(length, size - fromOffset));
    checkRange(toOffset, count);
    if (from === to && fromOffset < toOffset + count && toOffset < fromOffset + count) throw refuse("EINVAL");
    this.#copyBuffer ??= new Uint8Array(COPY_BYTES);
    let done = 0;
    while (done < count) {
      const step = Math.min(COPY_BYTES, count - done);
      try {
        const read = this.read(from, fromOffset + done, step, this.#copyBuffer);
        this.write(to, toOffset + done, this.#copyBuffer.subarray(0, read));
        done += read;
      } catch (error) {
        // Part of it is copied: answer with that, and the caller asks again for the rest.
        if (done > 0 && (error instanceof BlockMiss || error instanceof FsError)) return done;
        throw error;
      }
    }
    return done;
  }

  /** New files are not reported: their data must be read again to be stored, so early chunking gains little. */
  #tell(beginning: Beginning): void {
    const object = this.#objects.overlay.state.object(beginning.ino);
    if (object?.content.kind !== "list") return;
    // Do not delay the flush where unpublished data could fill the disk.
    const { freeBlocks, blockSize } = this.#objects.overlay.space();
    this.#rewritten = beginning.end < freeBlocks * blockSize ? beginning.generation : undefined;
    this.#objects.onBegun({ ...beginning, base: object.content.cid, baseSize: object.contentSize });
  }

  /** Whether a file is being rewritten in order, and is all that the live epoch changed. */
  #isRewriting(): boolean {
    const { state, data } = this.#objects.overlay;
    return this.#rewritten !== undefined && state.live === 1 && data.beginnings.growing === this.#rewritten;
  }

  /** The parts of a range that the live epoch has written already. */
  #liveSegments(dirty: DirtyObject | undefined, offset: number, length: number): Segment[] {
    const { epoch } = this.#objects.overlay.state;
    const segments = [...(dirty?.extents?.range(offset, length) ?? [])];
    return segments.filter((segment) => segment.from === "data" && segment.epoch === epoch);
  }

  /** Throws NoRoomYet if the limit of unpublished bytes has no room for a write. */
  #requireRoom(ino: Ino, offset: number, length: number, again: readonly Segment[]): void {
    const { room, data, state } = this.#objects.overlay;
    if (room.limit === Infinity) return;
    const fresh = again.reduce((left, segment) => left - segment.length, length);
    const bytes = data.growth(ino, state.epoch, offset, length, fresh);
    if (bytes === 0 || room.fits(bytes)) return;
    throw new NoRoomYet(async () => {
      if (!(await room.wait(bytes))) throw refuse("ENOSPC");
    });
  }

  /** Bytes in the live epoch's own file are changed last: only new bytes can find the disk full. */
  #writeData(ino: Ino, offset: number, bytes: Uint8Array, again: readonly Segment[], carried: boolean): void {
    const { data, state } = this.#objects.overlay;
    const { epoch } = state;
    let at = offset;
    for (const segment of again) {
      if (segment.offset > at)
        data.write(ino, epoch, at, bytes.subarray(at - offset, segment.offset - offset), carried);
      at = segment.offset + segment.length;
    }
    if (at < offset + bytes.length) data.write(ino, epoch, at, bytes.subarray(at - offset), carried);
    for (const segment of again) {
      const start = segment.offset - offset;
      data.write(ino, epoch, segment.offset, bytes.subarray(start, start + segment.length), carried, true);
    }
  }

  /** As with relatime: the first read after a change counts. */
  #accessed(file: { atimeNs: bigint }, mtimeNs: bigint): void {
    if (file.atimeNs <= mtimeNs) file.atimeNs = this.#objects.clock.nowNs();
  }

  #readBase(ino: Ino, content: Content, size: number, offset: number, target: Uint8Array): void {
    const { loader } = this.#objects;
    const end = offset + target.length;
    this.#ahead.fetch(loader, ino, { content, size }, offset, end);
    try {
      loader.readContent(() => peekContent(loader.content, content, size, offset, target.length, target));
    } catch (error) {
      const file = content.kind === "chunk" && error instanceof BlockMiss ? this.#objects.clean.known(ino) : undefined;
      if (file !== undefined) this.#siblings.missed(file, this.#objects.overlay.state.base.tree, loader);
      throw error;
    }
  }

  #readDirty(object: DirtyObject, offset: number, target: Uint8Array): void {
    const { ino, extents, content, contentSize } = object;
    const { data } = this.#objects.overlay;
    for (const segment of extents?.range(offset, target.length) ?? []) {
      const start = segment.offset - offset;
      const part = target.subarray(start, start + segment.length);
      if (segment.from === "data") data.read(ino, segment.epoch, segment.offset, part);
      else if (segment.from === "hole") part.fill(0);
      else this.#readBase(ino, content, contentSize, segment.offset, part);
    }
  }

  #seekBase(content: Content, size: number, offset: number, whence: "data" | "hole"): number | undefined {
    const { loader } = this.#objects;
    return loader.readContent(() => peekSeek(loader.content, content, size, offset, whence));
  }

  #seekDirty(object: DirtyObject, offset: number, whence: "data" | "hole"): number | undefined {
    const { extents, content, contentSize, size } = object;
    for (const segment of extents?.range(offset, size - offset) ?? []) {
      const end = segment.offset + segment.length;
      if (segment.from === "base") {
        const found = this.#seekBase(content, contentSize, segment.offset, whence);
        if (found !== undefined && found < end) return found;
      } else if ((segment.from === "data") === (whence === "data")) {
        return segment.offset;
      }
    }
    return whence === "hole" ? size : undefined;
  }
}

function checkFile(type: string): void {
  if (type === "directory") throw refuse("EISDIR");
  if (type !== "file") throw refuse("EINVAL");
}

function checkRange(offset: number, length: number): void {
  if (offset < 0 || length < 0) throw refuse("EINVAL");
  if (offset + length > MAX_FILE_BYTES) throw refuse("EFBIG");
}
