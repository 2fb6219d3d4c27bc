/** The blocks of all owners at a master without state of its own. */
import { join } from "node:path";
import type { Wallet } from "../../base/ids.ts";
import { describeError } from "../../base/log.ts";
import { OpenOwners } from "../store/open-owners.ts";
import type { BlockStores } from "../store/owner-blocks.ts";
import { RecentNodes } from "../store/recent-nodes.ts";
import { type MasterObjects, PAST_OBJECT } from "./pack-objects.ts";
import { SharedBlocks, type SharedTools } from "./shared-blocks.ts";
import { Windows } from "./shared-reader.ts";

export interface SharedStoresOptions extends SharedTools {
  readonly objects: MasterObjects;
  /** The folder of the caches, of this process only; undefined: in memory. */
  readonly cacheDir: string | undefined;
}

export class SharedStores implements BlockStores {
  readonly #options: SharedStoresOptions;
  readonly #open: OpenOwners;
  readonly #windows = new Windows();
  readonly #recent = new RecentNodes();
  readonly #owners = new Map<Wallet, SharedBlocks>();

  constructor(options: SharedStoresOptions) {
    this.#options = options;
    // What is in memory would be lost by closing it.
    this.#open = new OpenOwners(options.cacheDir === undefined ? Infinity : undefined);
  }

  get leaseSeconds(): number {
    return this.#options.leaseMs / 1_000;
  }

  async of(owner: Wallet): Promise<SharedBlocks> {
    const known = this.#owners.get(owner);
    if (known !== undefined) return known;
    const { objects, cacheDir, ...tools } = this.#options;
    const blocks = new SharedBlocks({
      ...tools,
      owner,
      objects: objects.of(owner),
      path: cacheDir === undefined ? ":memory:" : join(cacheDir, `${owner}.db`),
      windows: this.#windows,
      recent: this.#recent,
      open: this.#open,
    });
    this.#owners.set(owner, blocks);
    return blocks;
  }

  /** Empties all caches after the arbiter's incarnation changed. */
  renew(): void {
    for (const [owner, blocks] of this.#owners) {
      const failed = (error: unknown) =>
        this.#options.log.error("cannot empty a cache: stop this master and delete it", {
          owner,
          error: describeError(error),
        });
      blocks.repair.run(async () => blocks.renew()).catch(failed);
    }
  }

  owners(): Promise<Wallet[]> {
    return this.#options.arbiter.packs.owners();
  }

  async check(): Promise<void> {
    await this.#options.objects.top.get(PAST_OBJECT);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const blocks of this.#owners.values()) blocks.close();
  }
}
