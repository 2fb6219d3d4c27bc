/**
 * New contents in a dry run. They are not sent anywhere. If a merge needs some of them, the folder's files are read again,
 * and nothing is kept.
 */
import { groupBy } from "../../base/collections.ts";
import type { Cid } from "../../base/ids.ts";
import type { BlockReader, BlockSink } from "../../blocks/block-store.ts";
import type { ContentSession } from "../../bucket/publish/staging.ts";
import type { ContentConfig } from "../../content/config.ts";
import type { SyncDisk } from "../disk/disk.ts";
import { contentOnDisk } from "../scan/local-content.ts";
import type { Found } from "../scan/walk.ts";

export interface DryContentsOptions {
  readonly disk: SyncDisk;
  readonly content: ContentConfig;
  readonly files: readonly Found[];
  /** What the bucket holds. */
  readonly stored: BlockReader;
  /** Called with a file that changed since the scan. */
  readonly changed: (file: Found) => void;
}

export class DryContents implements BlockReader, ContentSession {
  readonly #options: DryContentsOptions;
  #fileOf: Promise<ReadonlyMap<Cid, Found>> | undefined;

  constructor(options: DryContentsOptions) {
    this.#options = options;
  }

  get blocks(): BlockReader {
    return this;
  }

  async putContent(): Promise<void> {}

  async get(cid: Cid): Promise<Uint8Array> {
    const bytes = (await this.getMany([cid])).get(cid);
    return bytes ?? this.#options.stored.get(cid);
  }

  /** Throws `block_not_found` also if its file changed. */
  async getMany(cids: readonly Cid[]): Promise<Map<Cid, Uint8Array>> {
    const { stored } = this.#options;
    const fileOf = await (this.#fileOf ??= this.#filesByBlock());
    const wanted = new Set(cids);
    const blocks = new Map<Cid, Uint8Array>();
    const put = ({ cid, bytes }: { readonly cid: Cid; readonly bytes: Uint8Array }) => {
      // The cutter may use its buffer again.
      if (wanted.has(cid)) blocks.set(cid, Uint8Array.from(bytes));
    };
    for (const file of groupBy(cids, (cid) => fileOf.get(cid)).keys())
      if (file !== undefined) await this.#cut(file, { put });
    const rest = cids.filter((cid) => !blocks.has(cid));
    if (rest.length > 0) for (const [cid, bytes] of await stored.getMany(rest)) blocks.set(cid, bytes);
    return blocks;
  }

  /** Reads all files once; most dry runs never need it. */
  async #filesByBlock(): Promise<ReadonlyMap<Cid, Found>> {
    const fileOf = new Map<Cid, Found>();
    for (const file of this.#options.files) await this.#cut(file, { put: ({ cid }) => void fileOf.set(cid, file) });
    return fileOf;
  }

  async #cut(file: Found, sink: BlockSink): Promise<void> {
    const { disk, content, changed } = this.#options;
    if ((await contentOnDisk(disk, file, content, sink)) === undefined) changed(file);
  }
}
