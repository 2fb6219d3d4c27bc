/** The blocks of all owners at a master without state of its own. */
import { join } from "node:path";
import type { Arbiter } from "../../arbiter/arbiter.ts";
import type { Clock } from "../../base/clock.ts";
import type { Wallet } from "../../base/ids.ts";
import type { Log } from "../../base/log.ts";
import type { Random } from "../../base/random.ts";
import type { Databases } from "../../objects/databases.ts";
import { OpenOwners } from "../store/open-owners.ts";
import type { BlockStores } from "../store/owner-blocks.ts";
import type { MasterObjects } from "./pack-objects.ts";
import { SharedBlocks } from "./shared-blocks.ts";
import { Windows } from "./shared-reader.ts";

export interface SharedStoresOptions {
  readonly arbiter: Arbiter;
  readonly objects: MasterObjects;
  /** The folder of the caches, of this process only; undefined: in memory. */
  readonly cacheDir: string | undefined;
  readonly databases: Databases;
  readonly leaseMs: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly incarnation: () => string;
  readonly onWentBack: (owner: Wallet) => void;
}

export class SharedStores implements BlockStores {
  readonly #options: SharedStoresOptions;
  readonly #open: OpenOwners;
  readonly #windows = new Windows();
  readonly #owners = new Map<Wallet, SharedBlocks>();

  constructor(options: SharedStoresOptions) {
    this.#options = options;
    // What is in memory would be lost by closing it.
    this.#open = new OpenOwners(options.cacheDir === undefined ? Infinity : undefined);
  }

  async of(owner: Wallet): Promise<SharedBlocks> {
    const known = this.#owners.get(owner);
    if (known !== undefined) return known;
    const { arbiter, objects, cacheDir, databases, ...rest } = this.#options;
    const blocks = new SharedBlocks({
      ...rest,
      owner,
      arbiter,
      databases,
      objects: objects.of(owner),
      path: cacheDir === undefined ? ":memory:" : join(cacheDir, `${owner}.db`),
      windows: this.#windows,
      open: this.#open,
    });
    this.#owners.set(owner, blocks);
    return blocks;
  }

  /** The arbiter has another past: everything read from it is read again. */
  renew(): void {
    for (const blocks of this.#owners.values()) blocks.cache.belongTo(this.#options.incarnation());
  }

  owners(): Promise<Wallet[]> {
    return this.#options.arbiter.packs.owners();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const blocks of this.#owners.values()) blocks.rest();
  }
}
