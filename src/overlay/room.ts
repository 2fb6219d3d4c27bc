/**
 * How many more unpublished bytes may be stored, if the cache's limit also counts them. A write that does not fit waits for
 * publishing to free room, but only while publishing makes progress.
 */
import type { Clock } from "../base/clock.ts";
import {
  PACE_MAX_MS,
  PACED_WRITE_BYTES,
  ROOM_FAILING_MS,
  ROOM_LOOK_MS,
  ROOM_PACED_SHARE,
  ROOM_SEALED_SHARE,
  ROOM_STALLED_MS,
} from "../base/limits.ts";

export interface RoomOptions {
  readonly clock: Clock;
  /** The most bytes in data files. Infinity: only the disk limits them. */
  readonly limit: number;
  /** Bytes in data files. */
  readonly held: () => number;
  /** All bytes that were ever added to data files. */
  readonly grown: () => number;
  /** Whether anything waits to be published or removed. */
  readonly mayFree: () => boolean;
}

interface Waiter {
  readonly bytes: number;
  readonly sinceMs: number;
  readonly decided: (fits: boolean) => void;
}

export class Room {
  readonly limit: number;
  /** Called with the number of bytes held whenever it has changed. */
  onHeld: (bytes: number) => void = () => {};
  /** Called while a write waits, to publish everything that can be published. */
  onWanted: () => void = () => {};
  readonly #options: RoomOptions;
  readonly #waiters = new Set<Waiter>();
  #looking: Disposable | undefined;
  #sealedAt = 0;
  #progressMs = -Infinity;
  #failingSinceMs: number | undefined;

  constructor(options: RoomOptions) {
    this.#options = options;
    this.limit = options.limit;
  }

  /** Never negative. */
  get left(): number {
    return Math.max(0, this.limit - this.#options.held());
  }

  fits(bytes: number): boolean {
    return bytes <= this.left;
  }

  /** Whether the live epoch is large enough to be sealed at once. The next one then fills while this one is published. */
  get isLiveLarge(): boolean {
    return this.#options.grown() - this.#sealedAt >= this.limit * ROOM_SEALED_SHARE;
  }

  /** How long to delay a write of this many bytes near the limit. 0 if nothing can be published, since a delay would not help. */
  pauseMs(bytes: number): number {
    const { held, mayFree } = this.#options;
    if (this.limit === Infinity || this.#failingSinceMs !== undefined) return 0;
    const paced = (held() / this.limit - ROOM_PACED_SHARE) / (1 - ROOM_PACED_SHARE);
    if (paced <= 0 || !mayFree()) return 0;
    return PACE_MAX_MS * Math.min(1, paced) * Math.min(1, bytes / PACED_WRITE_BYTES);
  }

  /** Resolves to true once this many bytes fit, and to false if they are not expected to fit. */
  wait(bytes: number): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    this.#waiters.add({ bytes, sinceMs: this.#options.clock.monotonicMs(), decided: resolve });
    this.#look();
    return promise;
  }

  /** The live epoch was sealed. */
  sealed(): void {
    this.#sealedAt = this.#options.grown();
  }

  /** Data files grew, or were removed. */
  changed(): void {
    if (this.limit === Infinity) return;
    this.onHeld(this.#options.held());
    if (this.#waiters.size > 0) this.#look();
  }

  /** Bytes are on their way to the bucket, or were freed. */
  progressed(): void {
    this.#progressMs = this.#options.clock.monotonicMs();
  }

  /** Whether the last attempt to publish failed. */
  failing(isFailing: boolean): void {
    if (!isFailing) this.#failingSinceMs = undefined;
    else this.#failingSinceMs ??= this.#options.clock.monotonicMs();
    if (this.#waiters.size > 0) this.#look();
  }

  #look(): void {
    this.#looking?.[Symbol.dispose]();
    let { left } = this;
    for (const waiter of this.#waiters) {
      const fits = waiter.bytes <= left;
      if (fits) left -= waiter.bytes;
      else if (this.#mayCome(waiter)) continue;
      this.#waiters.delete(waiter);
      waiter.decided(fits);
    }
    if (this.#waiters.size === 0) return;
    // The publisher retries a failed attempt after its own delay.
    if (this.#failingSinceMs === undefined) this.onWanted();
    this.#looking = this.#options.clock.after(ROOM_LOOK_MS, () => this.#look());
  }

  #mayCome({ bytes, sinceMs }: Waiter): boolean {
    const { clock, mayFree } = this.#options;
    if (bytes > this.limit || !mayFree()) return false;
    const now = clock.monotonicMs();
    if (this.#failingSinceMs !== undefined) return now - this.#failingSinceMs < ROOM_FAILING_MS;
    return now - Math.max(this.#progressMs, sinceMs) < ROOM_STALLED_MS;
  }
}
