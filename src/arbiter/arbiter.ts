/**
 * What several masters must agree on: transactions over small rows, and nothing else (docs/design/many-masters.md).
 *
 * Implementations: SQLite (one process), PostgreSQL. Both pass test/contract/arbiter.ts. Every call throws
 * `arbiter_unreachable` if the arbiter does not answer; a change may have been made
 * even then, and may be sent again: all changes are idempotent.
 */
import type { Wallet } from "../base/ids.ts";
import type { BucketName, RootTable } from "../roots/root-store.ts";

export interface Arbiter extends AsyncDisposable {
  /** For display, without a password. */
  readonly address: string;
  readonly roots: RootTable;
  readonly packs: PackLog;
  readonly revoked: RevokedTokens;

  /**
   * Identifies the data's past. It changes when a backup is restored or a standby takes over, but not when a copy
   * of the disk is put back. `changeIncarnation` and `beat` also change it.
   */
  incarnation(): Promise<string>;

  /** Changes the incarnation if it is still `from`. */
  changeIncarnation(from: string): Promise<void>;

  /**
   * Increments a durable counter and returns it. `told`: what the store tells of it, or 0. If the counter is below it, the
   * arbiter went back: the counter jumps beyond `told`, and the incarnation changes in the same step.
   *
   * `before`: `store().told`, read before the store was asked. If `told` is below it, the store went back: the incarnation
   * changes, and the lower number counts from then on.
   */
  beat(told: number, before?: number): Promise<number>;

  /** What it knows of the store that its log belongs to. */
  store(): Promise<KnownStore>;
  /** Makes the store with this identity its own, unless it has one. Returns the identity of its own. */
  takeStore(id: string): Promise<string>;

  /** The lease of a job that only one master may do, or undefined while another one has it. A crash ends it. */
  lease(job: string): Promise<JobLease | undefined>;

  /** Calls `changed` after a root may have changed. Only a hint: changes may be missed. */
  watch(changed: (name: BucketName) => void): Disposable;

  /** Records that a master is running. */
  announce(master: SeenMaster): Promise<void>;
  /** Records that a master has ended. */
  withdraw(id: string): Promise<void>;
  /** The masters heard of in the last `seconds`. */
  masters(seconds: number): Promise<SeenMaster[]>;

  /** Warnings about the arbiter's configuration, as sentences for its operator. */
  doubts(): Promise<string[]>;
}

export interface KnownStore {
  /** Undefined: none was taken yet. */
  readonly id: string | undefined;
  /** The highest number that the store has told. */
  readonly told: number;
}

export interface SeenMaster {
  /** Random, one for each process. */
  readonly id: string;
  /** Its origin for agents; "" if not known. */
  readonly origin: string;
  readonly compareAndSwap: boolean;
  readonly version: string;
  /** How long it keeps blocks that no root reaches. Undefined: masters of earlier versions do not tell. */
  readonly leaseSeconds?: number | undefined;
  /** The options that all masters should share, as text without "+". Undefined: as above. */
  readonly rules?: string | undefined;
}

/** Disposing it frees the job. */
export interface JobLease extends AsyncDisposable {
  /** Aborted once the lease may be lost. */
  readonly signal: AbortSignal;
}

/** A revoked token is remembered for so many seconds after it expired: a clock may have been ahead for a while. */
export const REVOKED_KEPT_S = 7 * 24 * 60 * 60;

/** Revoked tokens, by digest. Times are in seconds since 1970. */
export interface RevokedTokens {
  /** Durable once resolved. */
  add(digest: string, exp: number): Promise<void>;
  /** All that have not expired, or only lately. */
  all(): Promise<{ readonly digest: string; readonly exp: number }[]>;
}

/** live: its blocks count; condemned: readable, but garbage unless a root reaches it after all; gone: deleted. */
export const PACK_STATES = { live: 0, condemned: 1, gone: 2 } as const;
export type PackState = (typeof PACK_STATES)[keyof typeof PACK_STATES];

export interface NewPack {
  /** 32 hex digits. */
  readonly pack: string;
  /** Of the whole object. */
  readonly bytes: number;
  readonly rows: number;
}

/** The last change of one pack. */
export interface LogEntry extends NewPack {
  readonly state: PackState;
  /** Grows with each change of the owner's packs. Packs that changed together share it. */
  readonly position: number;
  /** By the arbiter's clock, in milliseconds since 1970. */
  readonly createdMs: number;
  readonly changedMs: number;
}

/** Entries of one page. Further entries at the last position come with them, since a collection may change any number of packs. */
export const PAGE_ENTRIES = 20_000;

export interface LogPage {
  /** The owner's era. Without `more`, the entries include all changes up to its beginning. */
  readonly era: number;
  /** By position; packs of one position are never split. */
  readonly entries: readonly LogEntry[];
  readonly more: boolean;
  /** The arbiter's clock, in milliseconds since 1970. */
  readonly nowMs: number;
  /** The last position of the owner. */
  readonly position: number;
}

/** Each owner's packs. An *era* begins whenever packs are condemned: what was found complete before must be checked again. */
export interface PackLog {
  owners(): Promise<Wallet[]>;

  /** Changes after `position`. */
  after(owner: Wallet, position: number): Promise<LogPage>;

  /**
   * In one step, adds packs as live and condemns others, which begins an era. A pack that is there already stays as it is.
   * Returns the names of the added packs that are live now. None is added if `begunMs`, an earlier time of the arbiter, is
   * longer ago than `patienceMs`: their objects may be deleted by now.
   */
  change(owner: Wallet, change: PackChange): Promise<ReadonlySet<string>>;

  /** Makes condemned packs live again. Returns those that are live now. */
  restore(owner: Wallet, packs: readonly string[]): Promise<ReadonlySet<string>>;

  /**
   * Gives up packs that were condemned before `beforeMs`, in an era up to `era`, and still are. Returns their names. Their
   * objects may be deleted then.
   */
  giveUp(owner: Wallet, packs: readonly string[], condemned: { beforeMs: number; era: number }): Promise<string[]>;

  /**
   * Gives up packs that the log does not name. Returns those that are gone now: nobody can add them any more, so their
   * objects may be deleted.
   */
  disown(owner: Wallet, packs: readonly string[]): Promise<ReadonlySet<string>>;
}

export interface PackChange {
  readonly add: readonly NewPack[];
  readonly condemn: readonly string[];
  readonly begunMs: number;
  readonly patienceMs: number;
}
