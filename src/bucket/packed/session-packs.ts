/** The packs that one upload session has stored and no manifest lists yet. */
import type { Cid, PackName } from "../../base/ids.ts";
import { digestOf } from "../../format/cid.ts";
import type { UploadedPack } from "./pack-uploader.ts";
import type { Placement } from "./placement-index.ts";

export class SessionPacks {
  readonly #packs = new Map<PackName, UploadedPack>();

  add(uploaded: UploadedPack): void {
    this.#packs.set(uploaded.pack.name, uploaded);
  }

  forget(name: PackName): void {
    this.#packs.delete(name);
  }

  get all(): readonly UploadedPack[] {
    return [...this.#packs.values()];
  }

  get names(): readonly PackName[] {
    return [...this.#packs.keys()];
  }

  locate(cid: Cid): Placement | undefined {
    if (this.#packs.size === 0) return undefined;
    const digest = digestOf(cid);
    for (const { pack, footer } of this.#packs.values()) {
      const row = footer.find(digest);
      if (row !== undefined) return { pack: pack.name, offset: row.offset, length: row.length, codec: row.codec };
    }
    return undefined;
  }
}
