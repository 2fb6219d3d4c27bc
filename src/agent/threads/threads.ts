/**
 * What the agent's two threads tell one another: the main thread publishes, the worker serves the filesystem. Plain data.
 */
import type { ChangeSet, NewBase, PublishedEpoch } from "../../fstree/change-set.ts";
import type { Units } from "../../format/commits/policy.ts";
import type { MasterAccess } from "../../net/access.ts";
import type { Beginning } from "../../overlay/beginnings.ts";
import type { BaseRoot } from "../../overlay/journal/journal-record.ts";
import type { Pending } from "../../overlay/overlay.ts";
import type { DirtyReason } from "../../vfs/dirty-signal.ts";
import type { BegunFile } from "../../vfs/objects.ts";
import type { DoorReport, DoorSetup } from "../doors/doors.ts";
import type { FlushReport } from "../reports.ts";

/** What the worker needs to begin. */
export interface WorkerSetup {
  readonly address: string;
  readonly stateDir: string;
  readonly cacheDir: string;
  readonly cacheBytes: number;
  readonly readOnly: boolean;
  readonly readTimeoutMs: number;
  /** fsync answers only when the change is published. */
  readonly publishedDurability: boolean;
  /** What is trusted on the way to a master; tokens are asked for. */
  readonly trust: Trust;
  /** The signed genesis block: the bucket may be out of reach. */
  readonly genesis: Uint8Array;
  /** Where a state that is new begins; an old state goes on where it was. */
  readonly base: BaseRoot;
}

export type Trust = Pick<MasterAccess, "tlsCa" | "insecure">;

/** An epoch crosses in pieces, so that the thread that serves is never held up by copying all of it. */
export interface SealedEpoch {
  readonly head: Omit<ChangeSet, "objects">;
  readonly count: number;
  /** The first piece: nearly always all of it. */
  readonly first: Uint8Array;
}

export interface PublishedPiece {
  readonly index: number;
  readonly objects: Uint8Array;
}

/** What the main thread asks the worker. */
export type WorkerMethods = {
  /** Opens the overlay (recovering it) and answers where it stands, and whether something waits; no door is open yet. */
  open(setup: WorkerSetup): Promise<{ base: BaseRoot; pending: Pending; held: boolean }>;
  /** Opens all of them, or none. Throws as they do. */
  openDoors(setups: readonly DoorSetup[]): Promise<readonly DoorReport[]>;
  pending(nothing: undefined): Pending;
  /** The epoch to publish, how many objects it has and the first of them; `sealedObjects` tells the others. */
  seal(how: { readonly anew: boolean }): Promise<SealedEpoch | undefined>;
  /** As `packChanged` has them. */
  sealedObjects(range: { readonly from: number; readonly to: number }): Uint8Array;
  /** A piece of the `PackedObjects` that `published` is about, all but the last; the first one (`index` 0) begins anew. */
  publishedObjects(piece: PublishedPiece): void;
  published(epoch: Omit<PublishedEpoch, "objects"> & { readonly last: PublishedPiece | undefined }): Promise<void>;
  /** Whether it did (publisher.ts). */
  adopt(root: { readonly base: NewBase; readonly units: Units | "any" }): Promise<boolean>;
  /** Whether the bytes that were told of a file are the same now. */
  isSteady(beginning: Beginning): boolean;
  /** Lets doors finish what is under way and closes them; `lazy`: even when a mount is busy. Throws `mount_busy`. */
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

/** What the worker tells without being asked. */
export type WorkerEvent =
  | { readonly event: "dirty"; readonly reason: DirtyReason }
  /** A large file is written this far in order. */
  | { readonly event: "begun"; readonly file: BegunFile }
  /** The mount is gone: somebody ran umount. */
  | { readonly event: "unmounted" }
  | { readonly event: "log"; readonly level: "info" | "warn" | "error"; readonly message: string };
