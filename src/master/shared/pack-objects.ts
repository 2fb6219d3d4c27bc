/** Objects in the store of several masters: packs (`owners/<wallet>/pack/<32 hex>`), and the accepted incarnation. */
import type { Wallet } from "../../base/ids.ts";
import { PACK_FOLDER } from "../../format/blocks/object-name.ts";
import type { ObjectStore } from "../../objects/object-store.ts";

export interface MasterObjects extends AsyncDisposable {
  /** For display; without credentials. */
  readonly address: string;
  /** Objects that belong to no owner. */
  readonly top: ObjectStore;
  /** One owner's objects. */
  of(owner: Wallet): ObjectStore;
  /** Owners with objects. Slow: lists all objects. */
  owners(): Promise<Wallet[]>;
}

/** The object of a pack. */
export function objectOf(pack: string): string {
  return `${PACK_FOLDER}${pack}`;
}

/** The pack of an object; undefined: it is none. */
export function packOf(object: string): string | undefined {
  return /^pack\/([0-9a-f]{32})$/.exec(object)?.[1];
}
