/**
 * Locks on paths (RFC 4918, sections 6 and 7): exclusive or shared, on one resource or on everything below it too, for a
 * limited time. A LockStore keeps them across restarts.
 */
import type { Clock } from "../../base/clock.ts";
import type { FileName } from "../../base/ids.ts";
import { MAX_DAV_LOCKS, MAX_LOCKS_A_RESOURCE } from "../limits.ts";
import type { Random } from "../../base/random.ts";
import { encodePath } from "../href.ts";
import { Refusal } from "../refusal.ts";

export interface Lock {
  /** "urn:uuid:…", which the lock's holder sends with a change. */
  readonly token: string;
  /** The names from the root. */
  readonly path: readonly FileName[];
  /** Whether the path is a folder's. Undefined: the version that made the lock did not record it. */
  readonly isFolder: boolean | undefined;
  readonly isDeep: boolean;
  readonly isExclusive: boolean;
  /** The client's owner information: the owner element as XML, or "". */
  readonly owner: string;
  /**
   * The login that made it: its token is valid only with that login (RFC 4918, section 6.4). Undefined: sign-in was not
   * required, and the token is valid with any.
   */
  readonly user: string | undefined;
  readonly timeoutS: number;
  /** Unix time. */
  readonly expiresMs: number;
}

/** Stores locks across restarts. */
export interface LockStore {
  load(): readonly Lock[];
  /** Replaces the stored locks. Throws the disk's errors. */
  save(locks: readonly Lock[]): void;
}

export class Locks {
  readonly #store: LockStore;
  readonly #clock: Clock;
  readonly #random: Random;
  /** By path, oldest first. */
  readonly #byPath = new Map<string, Lock[]>();
  readonly #beganMs: { readonly wall: number; readonly monotonic: number };
  #count = 0;
  /** No lock expires before this: a listing asks for the locks of each of its entries. */
  #earliestMs = Infinity;
  #timer: Disposable | undefined;
  /** Called with each lock that ended, in time. */
  ended: (lock: Lock) => void = () => {};

  constructor(store: LockStore, clock: Clock, random: Random) {
    this.#store = store;
    this.#clock = clock;
    this.#random = random;
    this.#beganMs = { wall: Number(clock.nowNs() / 1_000_000n), monotonic: clock.monotonicMs() };
    // If the clock was wrong when they were made and is right now, no lock gets more time than it was made for.
    const now = this.#nowMs();
    for (const lock of store.load())
      this.#put({ ...lock, expiresMs: Math.min(lock.expiresMs, now + lock.timeoutS * 1000) });
  }

  get all(): Lock[] {
    this.#expire();
    return [...this.#byPath.values()].flat();
  }

  /** The resource's own locks. */
  on(path: readonly FileName[]): readonly Lock[] {
    if (this.#count === 0) return [];
    this.#expire();
    return this.#byPath.get(keyOf(path)) ?? [];
  }

  /** The locks that a change of the resource itself must respect: its own, and deep ones of its parent folders. */
  covering(path: readonly FileName[]): Lock[] {
    if (this.#count === 0) return [];
    this.#expire();
    const own = keyOf(path);
    return this.#keysTo(own, path).flatMap((key) =>
      (this.#byPath.get(key) ?? []).filter((lock) => lock.isDeep || key === own),
    );
  }

  /** Those keys of a path and its parent folders that may have locks, from the root. `own`: the path's. */
  #keysTo(own: string, path: readonly FileName[]): string[] {
    // A look-up takes time in proportion to the key's length: for each folder of a long path, that would be quadratic.
    if (this.#byPath.size < path.length) {
      return [...this.#byPath.keys()].filter((key) => isOnWay(key, own)).toSorted((a, b) => a.length - b.length);
    }
    const keys = [""];
    let end = 0;
    for (const name of path) keys.push(own.slice(0, (end += 1 + name.length)));
    return keys;
  }

  /** Locks of resources inside this folder. */
  below(path: readonly FileName[]): Lock[] {
    if (this.#count === 0) return [];
    this.#expire();
    const prefix = `${keyOf(path)}/`;
    return [...this.#byPath].filter(([key]) => key.startsWith(prefix)).flatMap(([, locks]) => locks);
  }

  /** Locks that conflict with such a lock: of the resource itself and of its parent folders; and of its contents. */
  inTheWayOf({ path, isDeep, isExclusive }: Pick<Lock, "path" | "isDeep" | "isExclusive">) {
    const conflicting = (locks: readonly Lock[]) => locks.filter((lock) => lock.isExclusive || isExclusive);
    return { here: conflicting(this.covering(path)), below: isDeep ? conflicting(this.below(path)) : [] };
  }

  /** Throws a Refusal: 423 if another lock is in the way, 507 if there are too many. */
  make(wanted: Omit<Lock, "token" | "expiresMs">): Lock {
    const { here: around, below } = this.inTheWayOf(wanted);
    const inTheWay = [...around, ...below];
    if (inTheWay.length > 0) throw locked("no-conflicting-lock", inTheWay);
    const here = this.#byPath.get(keyOf(wanted.path))?.length ?? 0;
    if (here >= MAX_LOCKS_A_RESOURCE || this.#count >= MAX_DAV_LOCKS) {
      throw new Refusal(507, "Too many locks are held already.");
    }
    const lock = { ...wanted, token: this.#token(), expiresMs: this.#nowMs() + wanted.timeoutS * 1000 };
    this.#put(lock);
    this.#save(() => this.#take(lock));
    return lock;
  }

  refresh(lock: Lock, timeoutS: number): Lock {
    const renewed = { ...lock, timeoutS, expiresMs: this.#nowMs() + timeoutS * 1000 };
    this.#take(lock);
    this.#put(renewed);
    this.#save(() => {
      this.#take(renewed);
      this.#put(lock);
    });
    return renewed;
  }

  release(lock: Lock): void {
    this.#take(lock);
    this.#save(() => this.#put(lock));
    this.ended(lock);
  }

  /** An object was removed, and its locks with it: those of the resource, unless `keepOwn`, and of everything in it. */
  removed(path: readonly FileName[], keepOwn = false): void {
    this.#expire();
    const gone = [...(keepOwn ? [] : (this.#byPath.get(keyOf(path)) ?? [])), ...this.below(path)];
    if (gone.length === 0) return;
    for (const lock of gone) this.#take(lock);
    this.#save(() => {
      for (const lock of gone) this.#put(lock);
    });
    for (const lock of gone) this.ended(lock);
  }

  /** The lock's remaining seconds, 0 or more. */
  secondsLeft(lock: Lock): number {
    return Math.max(0, Math.ceil((lock.expiresMs - this.#nowMs()) / 1000));
  }

  #expire(): void {
    const now = this.#nowMs();
    if (now < this.#earliestMs) return;
    const locks = [...this.#byPath.values()].flat();
    const expired = locks.filter(({ expiresMs }) => expiresMs <= now);
    for (const lock of expired) this.#take(lock);
    this.#wake(Math.min(...locks.map(({ expiresMs }) => expiresMs).filter((ms) => ms > now)));
    for (const lock of expired) this.ended(lock);
  }

  #wake(earliestMs: number): void {
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
    this.#earliestMs = earliestMs;
    if (earliestMs === Infinity) return;
    this.#timer = this.#clock.after(earliestMs - this.#nowMs(), () => {
      this.#expire();
      // A timer may be early.
      if (this.#earliestMs === earliestMs) this.#wake(earliestMs);
    });
  }

  #put(lock: Lock): void {
    const key = keyOf(lock.path);
    this.#byPath.set(key, [...(this.#byPath.get(key) ?? []), lock]);
    this.#count++;
    if (lock.expiresMs < this.#earliestMs) this.#wake(lock.expiresMs);
  }

  #take(lock: Lock): void {
    const key = keyOf(lock.path);
    const here = this.#byPath.get(key) ?? [];
    const left = here.filter((other) => other !== lock);
    if (left.length > 0) this.#byPath.set(key, left);
    else this.#byPath.delete(key);
    this.#count -= here.length - left.length;
  }

  /** If saving fails, the change is undone and refused. */
  #save(undo: () => void): void {
    try {
      this.#store.save([...this.#byPath.values()].flat());
    } catch (error) {
      undo();
      throw error;
    }
  }

  #token(): string {
    const bytes = Buffer.from(this.#random.bytes(16));
    // Version 4, variant 1 (RFC 9562).
    bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
    bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
    return `urn:uuid:${bytes.toString("hex").replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-")}`;
  }

  /** Unix time on this run's clock: resetting the system's clock neither ends nor extends a lock. */
  #nowMs(): number {
    const { wall, monotonic } = this.#beganMs;
    return Math.floor(wall + this.#clock.monotonicMs() - monotonic);
  }
}

/** 423, with the resources whose locks are in the way. */
export function locked(condition: "no-conflicting-lock" | "lock-token-submitted", locks: readonly Lock[]): Refusal {
  return new Refusal(423, "This resource is locked.", { condition, hrefs: rootsOf(locks) });
}

/** The locked resources, each once, as encoded paths. */
export function rootsOf(locks: readonly Lock[]): string[] {
  return [...new Set(locks.map(rootOf))];
}

export function rootOf({ path, isFolder = path.length === 0 }: Pick<Lock, "path" | "isFolder">): string {
  return encodePath(path, isFolder);
}

function isOnWay(key: string, own: string): boolean {
  return own.startsWith(key) && (own.length === key.length || own[key.length] === "/");
}

function keyOf(path: readonly FileName[]): string {
  return path.map((name) => `/${name}`).join("");
}
