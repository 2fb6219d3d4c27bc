/** What an audit of a master's data folder finds wrong: values, since it goes on after them. */
import type { Cid, Wallet } from "../../base/ids.ts";

export interface DataDamage {
  /**
   * "block": bytes that are not the block's · "footer": a pack that does not say what it holds · "pack": one that is gone ·
   * "index": it disagrees with the packs · "missing": a root reaches a block that is not stored, or not intact · "roots": the table
   * of roots.
   */
  readonly kind: "block" | "footer" | "pack" | "index" | "missing" | "roots";
  readonly owner: Wallet | undefined;
  readonly bucket: string | undefined;
  readonly root: Cid | undefined;
  /** The pack's name. */
  readonly pack: string | undefined;
  /** Packs know digests only: but for "missing" it says "raw", whatever the block's own CID says. */
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
