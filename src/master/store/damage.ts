/** Damage that an audit finds in a master's data: values, because the audit continues. */
import type { Cid, Wallet } from "../../base/ids.ts";

export interface DataDamage {
  /**
   * "block": its bytes are wrong · "footer": a pack without a valid footer · "pack": it is missing · "index": it disagrees
   * with the packs · "missing": a root reaches a block that is not stored intact · "roots": the table of roots · "log": the
   * arbiter's log of packs contradicts itself or the store.
   */
  readonly kind: "block" | "footer" | "pack" | "index" | "missing" | "roots" | "log";
  readonly owner: Wallet | undefined;
  readonly bucket: string | undefined;
  readonly root: Cid | undefined;
  /** The pack's name. */
  readonly pack: string | undefined;
  /** Packs only know digests: except for "missing" the codec is always "raw", whatever the block's own CID says. */
  readonly cid: Cid | undefined;
  /** Where in the pack. */
  readonly offset: number | undefined;
  /** A sentence for people. */
  readonly what: string;
}

export function dataDamage(
  kind: DataDamage["kind"],
  what: string,
  where: Partial<Omit<DataDamage, "kind" | "what">> = {},
): DataDamage {
  const nowhere = { owner: undefined, bucket: undefined, root: undefined, pack: undefined, cid: undefined };
  return { kind, ...nowhere, offset: undefined, ...where, what };
}
