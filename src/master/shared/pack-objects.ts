/** Objects in the store of several masters: packs (`owners/<wallet>/pack/<32 hex>`), and what is known of their arbiter. */
import { SynclineError } from "../../base/errors.ts";
import type { Wallet } from "../../base/ids.ts";
import { PACK_FOLDER } from "../../format/blocks/object-name.ts";
import type { ObjectStore } from "../../objects/object-store.ts";

export interface MasterObjects extends AsyncDisposable {
  /** For display; without credentials. */
  readonly address: string;
  /** Objects that belong to no owner. */
  readonly top: ObjectStore;
  of(owner: Wallet): ObjectStore;
  /** Owners with objects. Slow: lists all objects. */
  owners(): Promise<Wallet[]>;
}

/** Throws `no_such_path` if no master has used this store: its address is probably wrong. */
export async function requireUsed(objects: MasterObjects): Promise<void> {
  if ((await objects.top.get(PAST_OBJECT)) !== undefined || (await objects.owners()).length > 0) return;
  throw new SynclineError("no_such_path", `${objects.address} has no packs of a master.`, {
    hint: "Check the address of the store, and that of the arbiter, if one is given: they belong together.",
  });
}

/** Holds the arbiter's incarnation, as text. */
export const PAST_OBJECT = "arbiter";

/** Holds the last number that the arbiter counted to, as text. Older masters refuse other names at the top of a folder. */
export const BEATS_OBJECT = "owners/beats";

/** Holds the store's identity, which the arbiter knows: 32 hex digits, written once. */
export const IDENTITY_OBJECT = "owners/store";

export function objectOf(pack: string): string {
  return `${PACK_FOLDER}${pack}`;
}

/** The pack of an object; undefined: it is none. */
export function packOf(object: string): string | undefined {
  return /^pack\/([0-9a-f]{32})$/.exec(object)?.[1];
}
