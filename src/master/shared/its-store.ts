/**
 * Whether an arbiter and a store belong together: the store has a random identity, which its arbiter knows.
 *
 * Arbiters and stores of earlier versions have none. They belong together if the store has a pack that the log names.
 */
import { type Arbiter, PACK_STATES } from "../../arbiter/arbiter.ts";
import { SynclineError } from "../../base/errors.ts";
import type { Random } from "../../base/random.ts";
import type { ObjectStore } from "../../objects/object-store.ts";
import { logPages } from "./pack-log.ts";
import { IDENTITY_OBJECT, type MasterObjects, objectOf, requireUsed } from "./pack-objects.ts";

/** Some packs may be lost. */
const PACKS_TRIED = 100;

/**
 * To be called before anything is changed. Throws `config_invalid` if the store is that of another arbiter, and `no_such_path`
 * if the log names packs, but no master has used this store: one of the addresses is probably wrong.
 */
export async function requireItsStore(
  arbiter: Pick<Arbiter, "packs" | "store" | "address">,
  objects: MasterObjects,
): Promise<void> {
  const [{ id: own }, there] = [await arbiter.store(), await identityOf(objects.top)];
  if (own !== undefined && own === there) return;
  if (own !== undefined && there !== undefined) throw notItsStore(arbiter, objects.address);
  const found = await findPacks(arbiter, objects);
  if (found === "no packs" && own === undefined) return;
  if (found === "none there") await requireUsed(objects);
  if (found !== "there") throw notItsStore(arbiter, objects.address);
}

/** Makes the store the arbiter's own, once that is accepted. Throws `config_invalid` if the arbiter has another one by now. */
export async function takeItsStore(
  arbiter: Pick<Arbiter, "store" | "takeStore" | "address">,
  objects: Pick<MasterObjects, "top" | "address">,
  random: Random,
): Promise<void> {
  const { id: own } = await arbiter.store();
  let there = await identityOf(objects.top);
  if (there === undefined) {
    const id = own ?? Buffer.from(random.bytes(16)).toString("hex");
    await objects.top.putNew(IDENTITY_OBJECT, [Buffer.from(id)]);
    // Another master may have been faster.
    there = (await identityOf(objects.top)) ?? id;
  }
  if ((await arbiter.takeStore(there)) !== there) throw notItsStore(arbiter, objects.address);
}

async function identityOf(top: Pick<ObjectStore, "get">): Promise<string | undefined> {
  const there = await top.get(IDENTITY_OBJECT);
  return there && Buffer.from(there.bytes).toString("utf8");
}

/** Whether the store has any of the packs that the log names. "no packs": the log names none. */
async function findPacks(
  arbiter: Pick<Arbiter, "packs">,
  objects: MasterObjects,
): Promise<"there" | "none there" | "no packs"> {
  let tried = 0;
  for (const owner of await arbiter.packs.owners()) {
    const store = objects.of(owner);
    for await (const entries of logPages(arbiter, owner)) {
      for (const { pack, state } of entries) {
        if (state === PACK_STATES.gone) continue;
        if ((await store.head(objectOf(pack))) !== undefined) return "there";
        if (++tried === PACKS_TRIED) return "none there";
      }
    }
  }
  return tried === 0 ? "no packs" : "none there";
}

function notItsStore({ address }: Pick<Arbiter, "address">, store: string): SynclineError {
  return new SynclineError("config_invalid", `${store} is not the store of the arbiter ${address}.`, {
    hint: "Check both addresses: an arbiter keeps its first store. For a new store, use a new database. A copied store must have all objects of the old one.",
  });
}
