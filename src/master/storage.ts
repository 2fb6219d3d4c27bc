/** What a master keeps, as ports: whoever starts a master opens it and hands it in. */
import type { Wallet } from "../base/ids.ts";
import type { BucketName, RootTable } from "../roots/root-store.ts";
import type { CollectionContext, CollectionReport } from "./gc/collection.ts";
import type { BlockStores } from "./store/owner-blocks.ts";

/** Disposing it closes everything. */
export interface MasterStorage extends AsyncDisposable {
  /** The arbiter's address; absent: the table is in the data folder. */
  readonly arbiter?: string;
  /** The arbiter: the root of each bucket. */
  readonly roots: RootTable;
  readonly revocations: RevocationList;
  readonly stores: BlockStores;

  /** Collects one owner's garbage (gc/collection.ts). */
  collect(call: CollectionContext, owner: Wallet, dryRun: boolean): Promise<CollectionReport>;

  /** Other masters that swap the same roots; undefined: there are none. */
  readonly others: OtherMasters | undefined;
  /** Owners whose table of roots was found older than what their blocks tell, with the buckets. */
  readonly rolledBack: ReadonlyMap<Wallet, readonly string[]>;
}

export interface OtherMasters {
  /** Random, of this process. */
  readonly id: string;
  /** Called when the arbiter that they share was found to have gone back: nothing of these owners is collected. */
  onWentBack: (owners: readonly Wallet[]) => void;
  /** Calls `changed` soon after another master may have swapped a root. Only a hint: changes may be missed. */
  watch(changed: (name: BucketName) => void): Disposable;
  /**
   * To be called before the master serves. Warns of masters with other rules. Throws `config_invalid` beside one
   * with another lease, and as the arbiter.
   */
  join(master: Omit<ServingMaster, "origin">): Promise<void>;
  /** Makes this master known to the others, until the storage is closed. */
  announce(master: ServingMaster): void;
}

export interface ServingMaster {
  readonly origin: string;
  readonly compareAndSwap: boolean;
  readonly version: string;
  /** Options that all masters should share, as on the command line: "--quota=1048576,--public-blocks". */
  readonly rules?: string | undefined;
}

/** Revoked tokens, by digest. */
export interface RevocationList {
  /** Called when this master learns of a revoked token. */
  onRevoked: (digest: string) => void;
  has(digest: string): boolean;
  /** Whether it was revoked here, but could not be recorded: after a restart, or at another master, it would be valid. */
  isUnrecorded(digest: string): boolean;
  /** `exp`: when the token expires; both times in seconds since 1970. Resolves when it survives power loss. Throws `store_failed`. */
  add(digest: string, exp: number, nowSeconds: number): Promise<void>;
}
