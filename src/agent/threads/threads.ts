/**
 * The messages between the agent's two threads: the main thread publishes, the worker serves the filesystem. Plain data.
 */
import type { PlacedBlock } from "../../blocks/cache-runs.ts";
import type { PackName } from "../../base/ids.ts";
import type { ChangeSet, NewBase, PublishedEpoch, SentCommit } from "../../fstree/change-set.ts";
import type { Units } from "../../format/commits/policy.ts";
import type { Trust } from "../../net/access.ts";
import type { Beginning } from "../../overlay/beginnings.ts";
import type { LostBytes } from "../../overlay/data/lost-bytes.ts";

import type { BaseRoot } from "../../overlay/journal/journal-record.ts";
import type { ContentsInUse } from "../../overlay/contents-in-use.ts";
import type { Pending } from "../../overlay/pending.ts";
import type { DirtyReason } from "../../vfs/dirty-signal.ts";
import type { PublishingNews } from "../../vfs/publish-state.ts";
import type { BegunFile } from "../../vfs/objects.ts";
import type { Names, Unpublished } from "../../vfs/unpublished.ts";
import type { DoorReport, DoorSetup } from "../doors/doors.ts";
import type { Supervision } from "../../fuse/supervisor.ts";
import type { Released } from "../pins/free-space.ts";
import type { FlushReport } from "../reports.ts";
import type { SharedBytes } from "./shared-bytes.ts";

/** What the worker needs to begin. */
export interface WorkerSetup {
  readonly address: string;
  readonly stateDir: string;
  /** Folder of all states. */
  readonly stateRoot: string;
  readonly cacheDir: string;
  readonly cacheBytes: number;
  /** Counts the bytes in data files, if `cacheBytes` also limits them. */
  readonly unpublished: SharedBytes | undefined;
  /** The most changed objects that memory holds. */
  readonly unpublishedObjects: number;
  readonly readOnly: boolean;
  readonly readTimeoutMs: number;
  /** fsync answers only once the change is published. */
  readonly publishedDurability: boolean;
  /** What to trust when calling a master. Tokens come from the main thread. */
  readonly trust: Trust;
  /** The signed genesis block, since the bucket may be out of reach. */
  readonly genesis: Uint8Array;
  /** The base of a new state; an existing state keeps its own. */
  readonly base: BaseRoot;
  /** How another process takes over the mount if this one dies. */
  readonly supervision: Supervision | undefined;
}

/** An epoch crosses in pieces, so that copying never blocks the thread that serves for long. */
export interface SealedEpoch {
  readonly head: Omit<ChangeSet, "objects">;
  readonly count: number;
  /** The first piece, nearly always everything. */
  readonly first: Uint8Array;
}

export interface PublishedPiece {
  readonly index: number;
  readonly objects: Uint8Array;
}

/** What the main thread asks the worker. */
export type WorkerMethods = {
  loaded(nothing: undefined): void;
  /** Opens and recovers the overlay. Answers its base, and whether changes wait; opens no door yet. */
  open(setup: WorkerSetup): Promise<{
    base: BaseRoot;
    /** Older bases that unpublished changes need. */
    older: readonly BaseRoot[];
    pending: Pending;
    held: boolean;
  }>;
  /** Opens all doors, or none. Throws as they do. */
  openDoors(setups: readonly DoorSetup[]): Promise<readonly DoorReport[]>;
  pending(nothing: undefined): Pending;
  lost(nothing: undefined): LostBytes | null;
  inUse(nothing: undefined): ContentsInUse;
  /** The epoch to publish, its number of objects, and the first of them; `sealedObjects` returns the others. */
  seal(how: { readonly anew: boolean; readonly removals: Units | undefined }): Promise<SealedEpoch | undefined>;
  /** In the form of `encodeChanged`. */
  sealedObjects(range: { readonly from: number; readonly to: number }): Uint8Array;
  /** Notes durably, before a swap of the sealed epoch is sent, that it may put this commit into the bucket. */
  sending(swap: { readonly epoch: number; readonly sent: SentCommit }): Promise<void>;
  /** One piece of `published`'s `EncodedObjects`, except the last; the first one (`index` 0) starts anew. */
  publishedObjects(piece: PublishedPiece): void;
  published(epoch: Omit<PublishedEpoch, "objects"> & { readonly last: PublishedPiece | undefined }): Promise<void>;
  /** Answers whether it did (publisher.ts). */
  adopt(root: { readonly base: NewBase; readonly units: Units | "any" }): Promise<boolean>;
  olderBases(nothing: undefined): readonly BaseRoot[];
  publishing(news: PublishingNews): void;
  /** Whether the file's reported bytes are still unchanged. */
  isSteady(beginning: Beginning): boolean;
  /** Whether blocks may be fetched before a program asks for them. */
  fetchAhead(isAllowed: boolean): void;
  /** The main thread has just written these blocks to the cache's folder. */
  cached(blocks: readonly PlacedBlock[]): void;
  /** What is unpublished below these paths. Before it answers, the thread writes the blocks that it caches to the disk. */
  unpublished(paths: readonly Names[]): Promise<Unpublished>;
  /** Drops contents that were removed from the cache from memory, and has the kernel drop their pages. */
  forget(released: Released): void;
  /** Whether a supervisor would start another process if this one ended. */
  isReplaceable(nothing: undefined): boolean;
  /** Lets doors finish pending work and closes them; `lazy`: even when a mount is busy. Throws `mount_busy`. */
  leaveDoors(options: { lazy: boolean }): Promise<void>;
  close(nothing: undefined): Promise<void>;
};

/** What the worker asks the main thread. */
export type MainMethods = {
  flush(nothing: undefined): Promise<FlushReport>;
  /** The bearer token for a master: the wallet stays on the main thread. */
  token(origin: string): Promise<string>;
  refused(token: { readonly origin: string; readonly token: string }): void;
};

export type WorkerEvent =
  | { readonly event: "dirty"; readonly reason: DirtyReason }
  /** A large file is written in order up to here. */
  | { readonly event: "begun"; readonly file: BegunFile }
  /** A read showed that this pack is missing or damaged. */
  | { readonly event: "doubted"; readonly pack: PackName }
  /** The mount is gone: someone ran umount. */
  | { readonly event: "unmounted" }
  | { readonly event: "log"; readonly level: "info" | "warn" | "error"; readonly message: string };
