/**
 * Named objects as a folder or an S3 bucket offers them: written whole, read in ranges, replaced under a condition only.
 *
 * Implementations: memory (tests), file (a folder). All pass test/contract/object-store.ts.
 */
import { SynclineError } from "../base/errors.ts";
import { blake3 } from "../crypto/hash.ts";

export interface ObjectStore extends AsyncDisposable {
  /** For people: where the objects are, without credentials. */
  readonly address: string;

  /** Makes what must exist before the first object, such as the folder. Throws `path_exists` if something else is there. */
  initialize(): Promise<void>;

  /** Size and date, or undefined if there is no such object. */
  head(name: string): Promise<ObjectInfo | undefined>;

  /** A whole object with the token that replaces it, or undefined. What it returns survives power loss. */
  get(name: string): Promise<StoredObject | undefined>;

  /**
   * Ranges of one object, each exactly as long as asked for. Throws `object_not_found`, and `block_corrupt` where the object ends
   * too early.
   */
  getRanges(name: string, ranges: readonly ByteRange[]): Promise<Uint8Array[]>;

  /** The last `length` bytes, or all if it has fewer, and the object's whole size. Throws `object_not_found`. */
  getTail(name: string, length: number): Promise<{ readonly bytes: Uint8Array; readonly size: number }>;

  /**
   * Creates an object; of several who try, one succeeds. "refused": it exists already. What is stored "now" survives power
   * loss when this resolves; what is stored "later" does so when `settle` has resolved.
   */
  putNew(name: string, body: ObjectBody, durable?: "now" | "later"): Promise<PutOutcome>;

  /** Replaces the object that `get` returned this token for. "refused": it is another by now, or gone. */
  putIfMatch(name: string, body: ObjectBody, token: string): Promise<PutOutcome>;

  /** Makes everything durable that was put with "later" before. */
  settle(): Promise<void>;

  /** Deletes an object if it is there. */
  delete(name: string): Promise<void>;

  /** All objects whose names start with `prefix`, in no order. For repair and the collector only: it may be slow. */
  list(prefix: string): AsyncIterable<ObjectInfo>;

  /**
   * The date that the store would give an object now, in milliseconds since 1970: ages of objects count from it, since the clock
   * here may be wrong. Undefined where it cannot be told. A decorator passes it on.
   */
  now(): Promise<number | undefined>;

  /** A line in which writers may wait for one another, as BucketRemote.takeTurn. Absent where there is none. */
  takeTurn?(): Promise<Turn | undefined>;

  /**
   * Frees a store that has a lock from whoever holds it, and says who that was; undefined if nobody did. Throws `bucket_locked`
   * when the holder is a process that runs on this machine, unless `force`.
   */
  breakLock?(force: boolean): Promise<string | undefined>;

  /** Calls `changed` soon after an object may have changed. A hint: it may miss changes, or call without one. */
  watch?(name: string, changed: () => void): Disposable;
}

/** A writer's turn, until it is disposed; a store may end it sooner, once he has replaced the root. */
export interface Turn extends Disposable {
  /** Whether others were in the line before. */
  readonly waited: boolean;
}

/** The chunks of an object, in order. */
export type ObjectBody = Iterable<Uint8Array> | AsyncIterable<Uint8Array>;

export interface ObjectInfo {
  readonly name: string;
  readonly size: number;
  /** The store's own date of the last write, in milliseconds since 1970. */
  readonly modifiedMs: number;
}

export interface StoredObject {
  readonly bytes: Uint8Array;
  /** Tells this content from any other that the object had or will have. */
  readonly token: string;
}

export interface ByteRange {
  readonly offset: number;
  readonly length: number;
}

/**
 * What became of a put. "unknown" is a real outcome: it may be stored, or may be later; only reading can tell. An error says
 * that nothing was stored: `disk_full`, `store_unreachable`, `store_failed`, `bucket_locked`.
 */
export type PutOutcome =
  /** Without a token, `get` has to tell it. */
  | { readonly kind: "stored"; readonly token: string | undefined }
  | { readonly kind: "refused" }
  | { readonly kind: "unknown"; readonly cause: unknown };

/** A token made from content: for stores that have no ETag of their own. */
export function tokenOf(bytes: Uint8Array): string {
  return Buffer.from(blake3(bytes)).toString("hex");
}

export function objectNotFound(address: string, name: string, cause?: unknown): SynclineError {
  return new SynclineError("object_not_found", `${address} holds no object ${name}.`, { cause });
}

export function endsEarly(name: string, { offset, length }: ByteRange, size: number): SynclineError {
  const message = `Object ${name} ends at ${size}, before the ${length} bytes at ${offset} that should be in it.`;
  return new SynclineError("block_corrupt", message, { hint: "Run `syncline verify --repair` on the bucket." });
}
