/** How long the oldest unpublished change has waited. It survives restarts. */
import type { Clock } from "../base/clock.ts";
import type { FileRecord } from "../format/files/record.ts";
import { isUnlinked } from "./dirty-object.ts";
import type { OverlayState } from "./state.ts";

export class PendingAge {
  readonly #clock: Clock;
  /** The times of the first change in the live epoch and in the one in flight. */
  #liveMs: number | undefined;
  #sealedMs: number | undefined;

  /** `state` may have changes that an earlier process made. */
  constructor(state: OverlayState, clock: Clock) {
    this.#clock = clock;
    const nowMs = clock.monotonicMs();
    if (state.inFlight !== undefined) this.#sealedMs = nowMs - foundAgeMs(sealedTimes(state), clock.nowNs());
    if (state.live > 0) this.#liveMs = nowMs - foundAgeMs(liveTimes(state), clock.nowNs());
  }

  changed(): void {
    this.#liveMs ??= this.#clock.monotonicMs();
  }

  sealed(): void {
    this.#sealedMs ??= this.#liveMs;
    this.#liveMs = undefined;
  }

  /** The sealed epoch has only some of the changes. */
  leftBehind(): void {
    this.#liveMs = this.#sealedMs;
  }

  published(): void {
    this.#sealedMs = undefined;
  }

  /** 0 if nothing waits. */
  ms(): number {
    const nowMs = this.#clock.monotonicMs();
    return nowMs - (this.#sealedMs ?? this.#liveMs ?? nowMs);
  }
}

type Times = Pick<FileRecord, "birthNs" | "ctimeNs">;

/** A new object is as old as its creation, though it may have changed since. Undefined: its times are the base's. */
function changedNs({ birthNs, ctimeNs }: Times, base: Times | undefined): bigint | undefined {
  if (base === undefined) return birthNs ?? ctimeNs;
  return ctimeNs === base.ctimeNs ? undefined : ctimeNs;
}

function* liveTimes(state: OverlayState): Iterable<bigint | undefined> {
  for (const object of state.objects()) {
    const isOurs = isUnlinked(object) && !state.isShared(object);
    if (object.epoch === state.epoch && !isOurs) yield changedNs(object, object.base);
  }
}

function* sealedTimes(state: OverlayState): Iterable<bigint | undefined> {
  for (const { ino, record, base } of state.inFlight?.objects.values() ?? []) {
    const times = record ?? state.object(ino);
    if (times !== undefined) yield changedNs(times, base);
  }
}

/** Times that a wrong clock set do not count. */
function foundAgeMs(times: Iterable<bigint | undefined>, nowNs: bigint): number {
  let oldestMs = 0;
  for (const time of times) {
    const ageMs = time === undefined ? 0 : Number((nowNs - time) / 1_000_000n);
    if (ageMs <= MAX_AGE_MS) oldestMs = Math.max(oldestMs, ageMs);
  }
  return oldestMs;
}

/** A year. */
const MAX_AGE_MS = 365 * 24 * 60 * 60 * 1_000;
