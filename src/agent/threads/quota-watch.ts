/**
 * How much the owner may still store at a master, for `df`. Asked at the start, every ten minutes, and after the root moved or
 * the master had no room.
 */
import type { Clock } from "../../base/clock.ts";
import type { OwnerQuota } from "../../bucket/http/owner-quota.ts";
import type { StorageSpace } from "../../overlay/disk/storage.ts";

export interface QuotaWatchOptions {
  /** Undefined: there is no quota. */
  readonly read: () => Promise<OwnerQuota | undefined>;
  readonly isPaused: () => boolean;
  readonly clock: Clock;
}

const LOOK_MS = 10 * 60_000;
/** The delay after an event: the master then has counted it, and several events need one call. */
const SOON_MS = 10_000;

export class QuotaWatch implements Disposable {
  readonly #options: QuotaWatchOptions;
  #quota: OwnerQuota | undefined;
  #timer: Disposable | undefined;
  #dueMs = Infinity;

  constructor(options: QuotaWatchOptions) {
    this.#options = options;
    void this.#look();
  }

  /** The bucket has a new root, or no room: the answer may be another one. */
  changed(): void {
    const soonMs = this.#options.clock.monotonicMs() + SOON_MS;
    if (soonMs < this.#dueMs) this.#arm(SOON_MS);
  }

  /** The disk's space, or what the quota leaves if that is less. */
  within(disk: StorageSpace): StorageSpace {
    return spaceWithin(disk, this.#quota);
  }

  [Symbol.dispose](): void {
    this.#timer?.[Symbol.dispose]();
    this.#dueMs = -Infinity;
  }

  async #look(): Promise<void> {
    const { read, isPaused } = this.#options;
    try {
      if (!isPaused()) this.#quota = await read();
    } catch {
      // The last answer stays in use.
    }
    if (this.#dueMs > -Infinity) this.#arm(LOOK_MS);
  }

  #arm(ms: number): void {
    const { clock } = this.#options;
    this.#timer?.[Symbol.dispose]();
    this.#dueMs = clock.monotonicMs() + ms;
    this.#timer = clock.after(ms, () => void this.#look());
  }
}

function spaceWithin(disk: StorageSpace, quota: OwnerQuota | undefined): StorageSpace {
  if (quota === undefined) return disk;
  const { blockSize } = disk;
  const freeBlocks = Math.floor(Math.max(0, quota.quotaBytes - quota.usedBytes) / blockSize);
  if (freeBlocks >= disk.freeBlocks) return disk;
  return { ...disk, blocks: Math.floor(quota.quotaBytes / blockSize), freeBlocks };
}
