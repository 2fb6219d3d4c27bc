/** What a master keeps, as ports: whoever starts a master opens it and hands it in. */
import type { Wallet } from "../base/ids.ts";
import type { RootTable } from "../roots/root-store.ts";
import type { BlockStores } from "./store/owner-blocks.ts";

/** Disposing it closes everything. */
export interface MasterStorage extends AsyncDisposable {
  /** The arbiter: the root of each bucket. */
  readonly roots: RootTable;
  readonly revocations: RevocationList;
  readonly stores: BlockStores;
  /** Owners whose table of roots was found older than what their blocks tell, with the buckets. */
  readonly rolledBack: ReadonlyMap<Wallet, readonly string[]>;
}

/** Revoked tokens, by digest. */
export interface RevocationList {
  has(digest: string): boolean;
  /** `exp`: when the token expires; both times in seconds since 1970. Resolves when it survives power loss. Throws `store_failed`. */
  add(digest: string, exp: number, nowSeconds: number): Promise<void>;
}
