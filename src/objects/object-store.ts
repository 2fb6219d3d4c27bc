/**
 * Named objects as a folder or an S3 bucket offers them: written whole, read in ranges, replaced only under a condition.
 *
 * Implementations: memory (tests), file (a folder), s3. All pass test/contract/object-store.ts.
 */
import { SynclineError } from "../base/errors.ts";
import { blake3 } from "../crypto/hash.ts";
import { mostBytesOf } from "../format/blocks/object-name.ts";

export interface ObjectStore extends AsyncDisposable {
  /** Where the objects are, for display; without credentials. */
  readonly address: string;

  /** Makes what must exist before the first object, such as the folder. Throws `path_exists` if something else is there. */
  initialize(): Promise<void>;

  /** Size and date, or undefined if there is no such object. */
  head(name: string): Promise<ObjectInfo | undefined>;

  /**
   * A whole object with its replacement token, or undefined. What it returns is durable. Throws `format_invalid` if the
   * object has more bytes than its name allows (`mostBytesOf`): before they take memory; `block_corrupt` for a bad sector.
   */
  get(name: string): Promise<StoredObject | undefined>;

  /**
   * Ranges of one object, each of exactly the requested length. Throws `object_not_found`, and `block_corrupt` if the
   * object is too short or lies on a bad sector.
   */
  getRanges(name: string, ranges: readonly ByteRange[]): Promise<Uint8Array[]>;

  /**
   * As getRanges, but hands over bytes as they arrive, so that they need not be held twice. A range that is tried again
   * starts over. Absent in stores whose bytes do not arrive in parts: call `streamRanges` below instead.
   */
  streamRanges?(name: string, ranges: readonly ByteRange[], take: TakePart): Promise<void>;

  /** The last `length` bytes, or all if it has fewer, and the object's whole size. Throws `object_not_found`. */
  getTail(name: string, length: number): Promise<{ readonly bytes: Uint8Array; readonly size: number }>;

  /** Creates an object; of concurrent attempts one succeeds. "refused": it exists already. */
  putNew(name: string, body: ObjectBody, options?: PutOptions): Promise<PutOutcome>;

  /** Replaces the object for which `get` returned this token. "refused": it was replaced or deleted since. */
  putIfMatch(name: string, body: ObjectBody, token: string, options?: PutOptions): Promise<PutOutcome>;

  /** Makes everything stored with "later" so far durable. */
  settle(): Promise<void>;

  /** Deletes an object if it is there. */
  delete(name: string): Promise<void>;

  /** All objects whose names start with `prefix`, in any order. Only for repair and collection: it may be slow. */
  list(prefix: string): AsyncIterable<ObjectInfo>;

  /**
   * The store's current date, in milliseconds since 1970, as it would give to a new object: ages of objects are relative to
   * it, since this machine's clock may be wrong. Undefined if unknown. Decorators pass it on.
   */
  now(): Promise<number | undefined>;

  /** Waits for the writer's turn, as BucketRemote.takeTurn. Absent where there are no turns. */
  takeTurn?(): Promise<Turn | undefined>;

  /**
   * Breaks the store's lock, if it has one, and says who held it; undefined if nobody did. Throws `bucket_locked` if the
   * holder runs on this machine, unless `force`.
   */
  breakLock?(force: boolean): Promise<string | undefined>;

  /**
   * Stores a root where none can be read, above all that were there: number `least` or a later one. `token`: what `get`
   * returned, which is no root. "refused": a root came meanwhile. Absent where roots are stored as other objects are.
   */
  returnRoot?(body: readonly Uint8Array[], least: number, token: string | undefined): Promise<PutOutcome>;

  /** Deletes what only the store itself knows to be old. Collections call it. Absent where there is nothing of the kind. */
  prune?(): Promise<void>;

  /** Absent where requests cost nothing. */
  requests?(): RequestReport;

  /** Whether what was put with "later" survives a power failure of this machine even before `settle`. */
  readonly keepsPuts?: boolean;

  /** Whether the store reads nothing of a body any more once its put has ended with "stored". */
  readonly isDoneWithBodies?: boolean;

  /** How often to look for a new root; absent: every FILE_POLL_MS. */
  readonly polling?: Polling;

  /**
   * The same objects for an audit or a repair: what the disk cannot read comes as zeros, and `unread` is told the object's
   * name. Such an object can be replaced by the token that `get` then returns. Absent where there are no disks.
   */
  salvaging?(unread: (name: string) => void): ObjectStore;

  /** Calls `changed` soon after an object may have changed. Only a hint: changes may be missed or falsely reported. */
  watch?(name: string, changed: () => void): Disposable;
}

/** Requests so far, by the classes that providers bill. */
export interface RequestCounts {
  put: number;
  list: number;
  get: number;
  delete: number;
  /** Of those: conditions that did not hold. */
  refused: number;
}

export interface RequestReport extends Readonly<RequestCounts> {
  /** Over how many milliseconds they were counted. */
  readonly forMs: number;
}

/** The first looks after a change are `firstMs` apart, then ever longer, up to `lastMs`: looks may cost money. */
export interface Polling {
  readonly firstMs: number;
  readonly lastMs: number;
}

/** A writer's turn, until disposed; a store may end it earlier, once the root is replaced. */
export interface Turn extends Disposable {
  /** Whether others were ahead in the line. */
  readonly waited: boolean;
}

/** The chunks of an object, in order: in memory, or as they come, in a number that is not known yet. */
export type ObjectBody = readonly Uint8Array[] | AsyncIterable<Uint8Array>;

/** The size of an object in bytes, if it is known before the object is sent. */
export function lengthOf(body: ObjectBody): number | undefined {
  return Array.isArray(body) ? body.reduce((sum, chunk: Uint8Array) => sum + chunk.length, 0) : undefined;
}

export interface PutOptions {
  /** "now", the default: durable when the put resolves; "later": durable once `settle` has resolved. */
  readonly durable?: "now" | "later";
  /** Ends the put at its next step: throws the signal's reason if nothing was stored. */
  readonly signal?: AbortSignal;
  /** Ends the put after so long, as the signal does, with `time_out`. Default: the store's own patience. */
  readonly timeoutMs?: number;
}

export interface ObjectInfo {
  readonly name: string;
  readonly size: number;
  /** The store's own date of the last write, in milliseconds since 1970. */
  readonly modifiedMs: number;
}

export interface StoredObject {
  readonly bytes: Uint8Array;
  /** Identifies this content among all that the object had or will have. */
  readonly token: string;
}

/** Replaces the object of this token; without one, creates it. "refused": it has changed since it was read. */
export function putOver(
  store: Pick<ObjectStore, "putNew" | "putIfMatch">,
  name: string,
  body: readonly Uint8Array[],
  token: string | undefined,
): Promise<PutOutcome> {
  return token === undefined ? store.putNew(name, body) : store.putIfMatch(name, body, token);
}

/** As ObjectStore.streamRanges, for any store. */
export async function streamRanges(
  store: RangeSource,
  name: string,
  ranges: readonly ByteRange[],
  take: TakePart,
): Promise<void> {
  if (store.streamRanges !== undefined) return store.streamRanges(name, ranges, take);
  for (const [range, bytes] of (await store.getRanges(name, ranges)).entries()) take(range, 0, bytes);
}

export type RangeSource = Pick<ObjectStore, "getRanges" | "streamRanges">;

/** Takes bytes at offset `at` of the range with this number. They are valid only during the call. */
export type TakePart = (range: number, at: number, part: Uint8Array) => void;

export interface ByteRange {
  readonly offset: number;
  readonly length: number;
}

/**
 * The outcome of a put. "unknown": it may be stored now or later; only reading can tell. An error means that nothing was
 * stored: `disk_full`, `store_unreachable`, `store_failed`, `bucket_locked`.
 */
export type PutOutcome =
  /** Without a token, use `get` to find it. */
  | { readonly kind: "stored"; readonly token: string | undefined }
  | { readonly kind: "refused" }
  | { readonly kind: "unknown"; readonly cause: unknown };

/** A token derived from content: for stores without ETags. */
export function tokenOf(bytes: Uint8Array): string {
  return Buffer.from(blake3(bytes)).toString("hex");
}

/** The error of a put whose outcome is not "stored", where nothing else may have stored the object. */
export function notStored(
  address: string,
  name: string,
  outcome: Exclude<PutOutcome, { readonly kind: "stored" }>,
): SynclineError {
  const cause = outcome.kind === "unknown" ? outcome.cause : new Error("another object has this name");
  const why = cause instanceof Error ? `: ${cause.message.replace(/\.$/, "")}` : "";
  const hint = cause instanceof SynclineError ? cause.hint : undefined;
  return new SynclineError("store_unreachable", `${address} did not confirm that it stored ${name}${why}.`, {
    hint: hint ?? "Check the network and the storage. A mount publishes once it answers; run a command again then.",
    cause,
  });
}

export function objectNotFound(address: string, name: string, cause?: unknown): SynclineError {
  return new SynclineError("object_not_found", `${address} has no object ${name}.`, { cause });
}

/** Throws `format_invalid` if an object is larger than its name allows. */
export function checkSize(name: string, size: number): void {
  const most = mostBytesOf(name);
  if (size > most) throw tooLarge(name, most);
}

export function tooLarge(name: string, most: number): SynclineError {
  return new SynclineError("format_invalid", `Object ${name} has more than the ${most} bytes that it may have.`, {
    hint: "The storage was changed or damaged: run `syncline verify`.",
  });
}

export function endsEarly(name: string, { offset, length }: ByteRange, size: number): SynclineError {
  const message = `Object ${name} ends at ${size}, but should hold ${length} bytes at ${offset}.`;
  return new SynclineError("block_corrupt", message, { hint: "Run `syncline verify --repair` on the bucket." });
}

/** These parts of an object. Throws `block_corrupt` if one is shorter than its range. */
export function wholeRanges(name: string, ranges: readonly ByteRange[], parts: readonly Uint8Array[]): Uint8Array[] {
  for (const [at, range] of ranges.entries()) {
    const length = parts[at]?.length ?? 0;
    if (length < range.length) throw endsEarly(name, range, range.offset + length);
  }
  return [...parts];
}
