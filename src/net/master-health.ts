/** What is known of one of several masters: whether it was left and why, and how fast it answers. */
import { SynclineError } from "../base/errors.ts";
import { MASTER_PROBE_MS } from "../base/limits.ts";
import type { Master, MasterReport } from "./master-connection.ts";

/** The weight of the newest latency. */
const NEWEST = 0.3;
/** Another master must be this much faster, by ratio and by time, to be moved to: close ones do not alternate. */
const FASTER = 0.6;
const FASTER_MS = 10;
/** Latencies that are needed to compare. */
const SAMPLES = 3;

export class MasterHealth {
  readonly master: Master;
  /** How often it was left lately. */
  times = 0;
  /** How often it refused us since it last admitted us. */
  refusals = 0;
  /** Aborted when the master is left, so that calls move on. */
  inUse = new AbortController();
  #left: string | undefined;
  #averageMs: number | undefined;
  #samples = 0;
  #leftMs = -Infinity;
  #dueMs = -Infinity;

  constructor(master: Master) {
    this.master = master;
  }

  get isLeft(): boolean {
    return this.#left !== undefined;
  }

  leave(why: unknown, nowMs: number, pauseMs: number): void {
    this.stayLeft(why, nowMs, pauseMs);
    this.#samples = 0;
    this.#averageMs = undefined;
    this.inUse.abort(new MasterLeft(this.master.address, this.#left ?? ""));
    this.inUse = new AbortController();
  }

  /** A probe failed again. Streams stay: with all masters away, calls may go here. */
  stayLeft(why: unknown, nowMs: number, pauseMs: number): void {
    this.#left = why instanceof MasterLeft ? why.reason : why instanceof Error ? why.message : String(why);
    this.#leftMs = nowMs;
    this.#dueMs = nowMs + pauseMs;
    this.times++;
  }

  /** Leaves a master that does not admit us. It stays left until it does, even if it is healthy. */
  refuse(why: unknown, nowMs: number, pauseMs: number): void {
    this.refusals++;
    this.leave(why, nowMs, pauseMs);
  }

  get isRefusing(): boolean {
    return this.refusals > 0;
  }

  /** It answered a call with our bearer. */
  admitted(): void {
    this.refusals = 0;
  }

  isDue(nowMs: number): boolean {
    return nowMs >= this.#dueMs;
  }

  /** A probe begins; the next is due after this long. */
  probing(nowMs: number, nextMs: number): void {
    this.#dueMs = nowMs + nextMs;
  }

  /** A probe that began before the master was last left says nothing. */
  healthy(nowMs: number, tookMs: number): void {
    if (this.#leftMs > nowMs - tookMs || this.isRefusing) return;
    this.#left = undefined;
    this.#averageMs = this.#averageMs === undefined ? tookMs : this.#averageMs * (1 - NEWEST) + tookMs * NEWEST;
    this.#samples++;
    if (nowMs - this.#leftMs > 2 * MASTER_PROBE_MS) this.times = 0;
  }

  isBetterThan(used: MasterHealth): boolean {
    if (this.isLeft) return false;
    if (used.isLeft) return true;
    const [own, other] = [this.#averageMs, used.#averageMs];
    if (own === undefined || other === undefined || this.#samples < SAMPLES || used.#samples < SAMPLES) return false;
    return own < other * FASTER && own < other - FASTER_MS;
  }

  report(used: boolean): MasterReport {
    const latencyMs = this.#averageMs === undefined ? null : Math.round(this.#averageMs * 10) / 10;
    return { address: this.master.address, used, left: this.#left ?? null, latencyMs };
  }
}

/** Ends the calls to a master that is left. */
class MasterLeft extends SynclineError {
  readonly reason: string;

  constructor(address: string, reason: string) {
    super("store_unreachable", reason.startsWith(address) ? reason : `${address} was left: ${reason}`);
    this.reason = reason;
  }
}
