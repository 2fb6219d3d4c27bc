/**
 * One request and its reply: a view of a row of the cells shared with the addon. One object serves all requests in turn, so
 * that a call allocates almost nothing.
 */
import { ERRNO } from "../base/errno.ts";
import type { FileName, Ino } from "../base/ids.ts";
import { heldInRange } from "../base/nanoseconds.ts";
import { type Attributes, type Caller, FsError } from "../vfs/filesystem.ts";
import type { Session } from "./addon.ts";
import type { Opened } from "./open-files.ts";
import { AS_STORED, Owners } from "./owners.ts";
import { ATTRIBUTE, CELL, OPCODE, OUTPUT_BYTES, REPLY, ROW_CELLS, SOLO_ROW } from "./protocol.ts";
import { MAX_NAME_BYTES } from "../base/limits.ts";
import type { StorageSpace } from "../overlay/disk/storage.ts";

export class Exchange {
  readonly session: Session;
  readonly #cells: Float64Array;
  readonly #times: BigInt64Array;
  readonly #owners: Owners;
  /** Whether the kernel enforces access control lists in this mount. */
  hasAcls = false;
  /** Whether STATX is answered. */
  readonly tellsBirths: boolean;
  #at = 0;
  #names: readonly string[] = [];
  #payload: Buffer | undefined;
  #outputUsed = 0;
  #count = 0;

  constructor(session: Session, owners = new Owners(AS_STORED), tellsBirths = false) {
    this.#owners = owners;
    this.tellsBirths = tellsBirths;
    this.session = session;
    this.#cells = session.cells;
    this.#times = session.times;
  }

  /** Starts a batch of `count` requests: the output buffer is free again. */
  start(count: number, names: readonly string[]): void {
    this.#count = count;
    this.#names = names;
    this.#payload = undefined;
    this.#outputUsed = 0;
  }

  /** Moves to a row of the batch. */
  turnTo(row: number): void {
    this.#at = row * ROW_CELLS;
  }

  /** Whether this request came alone. */
  get isAlone(): boolean {
    return this.#count === 1;
  }
  get opcode(): number {
    return this.#cell(CELL.OPCODE);
  }
  get ticket(): number {
    return this.#cell(CELL.TICKET);
  }
  get node(): Ino {
    return this.#cell(CELL.NODE) as Ino;
  }
  get caller(): Caller {
    return this.owner(this.#cell(CELL.UID), this.#cell(CELL.GID));
  }
  /** Whether the caller is root, whatever owners the mount shows. */
  get isRoot(): boolean {
    return this.#cell(CELL.UID) === 0;
  }
  /** The caller of a request that creates something. Applying the umask again after the kernel changes nothing. */
  get maker(): Caller {
    return { ...this.caller, umask: this.argument(2) & UMASK };
  }
  /** The stored numbers that these shown numbers stand for. */
  owner(uid: number, gid: number): Caller {
    return { uid: this.#owners.storedUid(uid), gid: this.#owners.storedGid(gid) };
  }
  get owners(): Owners {
    return this.#owners;
  }
  /** The thread that waits for the answer; 0 if it is in another PID namespace. */
  get thread(): number {
    return this.#cell(CELL.THREAD);
  }
  /** The request's number on its connection. */
  get unique(): number {
    return Math.abs(this.#cell(CELL.UNIQUE));
  }
  /** Whether the kernel sent it before, to an agent that did not answer. */
  get isResent(): boolean {
    return this.#cell(CELL.UNIQUE) < 0;
  }
  argument(index: number): number {
    return this.#cell(CELL.ARGUMENT + index);
  }
  /** Nanoseconds since 1970. */
  time(index: number): bigint {
    return this.#times[this.#at + CELL.ARGUMENT + index] ?? 0n;
  }
  /** The request's first or second name. The kernel passes names of up to 1,024 bytes; too long ones throw ENAMETOOLONG. */
  name(index: 0 | 1 = 0): FileName {
    const name = this.text(index);
    if (name.length > MAX_NAME_BYTES) throw new FsError(ERRNO.ENAMETOOLONG, "a name of more than 255 bytes");
    return name as FileName;
  }
  /** The request's first or second string, one char a byte. */
  text(index: 0 | 1): string {
    return this.#names[this.#cell(CELL.FIRST_NAME) + index] ?? "";
  }
  /** The request's own bytes, valid until the batch is over. `offset` is relative to the session's input. */
  payload(offset: number, length: number): Buffer {
    return this.#payload ?? this.session.input.subarray(offset, offset + length);
  }

  /** Whether the reply reports success: neither an error nor deferred. */
  get succeeded(): boolean {
    const kind = this.#cell(CELL.KIND);
    if (kind === REPLY.ERROR) return this.#cell(CELL.VALUE) === 0;
    return kind !== REPLY.NONE && kind !== REPLY.DEFERRED;
  }

  done(): void {
    this.error(0);
  }
  /** The success that a handler promised. */
  end(count: number | void): void {
    if (count === undefined) this.done();
    else this.count(count);
  }
  /** `errno`: positive. */
  error(errno: number): void {
    this.#set(CELL.KIND, REPLY.ERROR);
    this.#set(CELL.VALUE, errno);
  }
  attributes(attributes: Attributes): void {
    this.#set(CELL.KIND, REPLY.ATTRIBUTES);
    this.#times[this.#at + CELL.BIRTH] = heldInRange(attributes.birthNs ?? 0n);
    this.writeAttributes(this.#at + CELL.ATTRIBUTES, attributes);
  }
  entry(attributes: Attributes): void {
    this.#set(CELL.KIND, REPLY.ENTRY);
    this.writeAttributes(this.#at + CELL.ATTRIBUTES, attributes);
  }
  /** There is no such name, and the kernel may cache that. */
  noEntry(): void {
    this.#set(CELL.KIND, REPLY.ENTRY);
    this.#set(CELL.ATTRIBUTES + ATTRIBUTE.INO, 0);
  }
  opened({ flags, handle }: Opened): void {
    this.#set(CELL.KIND, REPLY.OPENED);
    this.#set(CELL.FLAGS, flags);
    this.#set(CELL.VALUE, handle);
  }
  created(attributes: Attributes, { flags, handle }: Opened): void {
    this.entry(attributes);
    this.#set(CELL.KIND, REPLY.CREATED);
    this.#set(CELL.FLAGS, flags);
    this.#set(CELL.VALUE, handle);
  }
  count(bytes: number): void {
    this.#value(REPLY.COUNT, bytes);
  }
  xattrSize(bytes: number): void {
    this.#value(REPLY.XATTR_SIZE, bytes);
  }
  position(offset: number): void {
    this.#value(REPLY.POSITION, offset);
  }
  statFs(st: StorageSpace): void {
    this.#set(CELL.KIND, REPLY.STATFS);
    this.#structure([st.blockSize, st.blocks, st.freeBlocks, st.files, st.freeFiles, MAX_NAME_BYTES]);
  }
  init(values: readonly number[]): void {
    this.#set(CELL.KIND, REPLY.INIT);
    this.#structure(values);
  }
  /** The answer comes later, by ticket. */
  deferred(): void {
    this.#set(CELL.KIND, REPLY.DEFERRED);
  }

  /** Whether the output has room for `length` more bytes before the batch's replies leave. */
  hasRoom(length: number): boolean {
    return this.#outputUsed + length <= OUTPUT_BYTES;
  }
  /** The batch's replies so far have left: their bytes are free. */
  outputSent(): void {
    this.#outputUsed = 0;
  }
  get outputOffset(): number {
    return this.#outputUsed;
  }
  /** A part of the output for this reply to fill; `data` sets how much of it is used. */
  space(length: number): Buffer {
    return this.session.output.subarray(this.#outputUsed, this.#outputUsed + length);
  }
  data(length: number): void {
    this.#value(REPLY.DATA, this.#outputUsed);
    this.#set(CELL.LENGTH, length);
    this.#outputUsed += (length + 7) & ~7;
  }
  bytes(bytes: Uint8Array): void {
    this.session.output.set(bytes, this.#outputUsed);
    this.data(bytes.length);
  }

  writeAttributes(at: number, attributes: Attributes): void {
    const cells = this.#cells;
    const times = this.#times;
    cells[at + ATTRIBUTE.INO] = attributes.ino;
    cells[at + ATTRIBUTE.MODE] = attributes.mode;
    cells[at + ATTRIBUTE.NLINK] = attributes.nlink;
    cells[at + ATTRIBUTE.UID] = this.#owners.shownUid(attributes.uid);
    cells[at + ATTRIBUTE.GID] = this.#owners.shownGid(attributes.gid);
    cells[at + ATTRIBUTE.RDEV] = attributes.rdev;
    cells[at + ATTRIBUTE.SIZE] = attributes.size;
    cells[at + ATTRIBUTE.BLOCKS] = attributes.blocks;
    times[at + ATTRIBUTE.ATIME] = heldInRange(attributes.atimeNs);
    times[at + ATTRIBUTE.MTIME] = heldInRange(attributes.mtimeNs);
    times[at + ATTRIBUTE.CTIME] = heldInRange(attributes.ctimeNs);
  }

  /** Takes a copy of the request that outlives the batch. */
  hold(): HeldRequest {
    return {
      ticket: this.ticket,
      opcode: this.opcode,
      node: this.node,
      cells: this.#cells.slice(this.#at, this.#at + CELL.KIND),
      names: [this.text(0), this.text(1)],
      unique: this.#cell(CELL.UNIQUE),
      payload: this.#heldPayload(),
    };
  }
  /** Moves to a held request, in the row for single answers. `session.answer(ticket)` sends its reply. */
  resume(held: HeldRequest): void {
    this.start(1, held.names);
    this.#at = SOLO_ROW;
    this.#cells.set(held.cells, SOLO_ROW);
    this.#set(CELL.FIRST_NAME, 0);
    this.#set(CELL.UNIQUE, held.unique);
    this.#set(CELL.KIND, REPLY.NONE);
    this.#payload = held.payload;
  }

  #heldPayload(): Buffer | undefined {
    if (this.#payload !== undefined) return this.#payload;
    if (this.opcode === OPCODE.WRITE) return Buffer.from(this.payload(this.argument(3), this.argument(1)));
    if (this.opcode === OPCODE.SETXATTR) return Buffer.from(this.payload(this.argument(2), this.argument(1)));
    return undefined;
  }

  #structure(values: readonly number[]): void {
    this.#cells.set(values, this.#at + CELL.ATTRIBUTES);
  }
  #value(kind: number, value: number): void {
    this.#set(CELL.KIND, kind);
    this.#set(CELL.VALUE, value);
  }
  #cell(index: number): number {
    return this.#cells[this.#at + index] ?? 0;
  }
  #set(index: number, value: number): void {
    this.#cells[this.#at + index] = value;
  }
}

const UMASK = 0o777;

/** A waiting request, with everything needed to run it again. */
export interface HeldRequest {
  readonly ticket: number;
  readonly opcode: number;
  readonly node: Ino;
  readonly cells: Float64Array;
  readonly names: readonly [string, string];
  readonly unique: number;
  readonly payload: Buffer | undefined;
}
