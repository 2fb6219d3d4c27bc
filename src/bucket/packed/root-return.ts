/** Puts a root back where none can be read (`verify --repair`), and the genesis if that is missing, too. */
import { SynclineError } from "../../base/errors.ts";
import { GENESIS_OBJECT, ROOT_OBJECT } from "../../format/blocks/object-name.ts";
import { encodeRoot } from "../../format/blocks/root-object.ts";
import { type ObjectStore, putOver } from "../../objects/object-store.ts";
import type { VerifiedCommit } from "../verified-commit.ts";
import type { RootSearch } from "./root-search.ts";

/** Throws `root_moved` if the root has changed since the search. */
export async function putRootBack(
  at: ObjectStore,
  { lost, genesis }: Pick<RootSearch, "lost" | "genesis">,
  { cid, body: { seq } }: Pick<VerifiedCommit, "cid" | "body">,
): Promise<void> {
  const store = at.salvaging?.(() => {}) ?? at;
  // One more swap: agents that still know the lost root see that it changed.
  const body = [encodeRoot({ commit: cid, version: seq + 1 })];
  const token = lost.object?.token;
  const outcome = await (store.returnRoot?.(body, seq, token) ?? putOver(store, ROOT_OBJECT, body, token));
  if (outcome.kind === "refused")
    throw new SynclineError("root_moved", `Another process wrote the root of ${store.address} meanwhile.`);
  if (outcome.kind === "unknown")
    throw new SynclineError("store_unreachable", `Cannot tell whether the root of ${store.address} was stored.`, {
      cause: outcome.cause,
    });
  await store.putNew(GENESIS_OBJECT, [genesis.bytes]);
}
