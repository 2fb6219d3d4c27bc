/**
 * Signatures that must be verified before a call is: each takes milliseconds of the one thread that serves everybody, and anybody can
 * send some. A connection whose last bearer counted is not kept waiting; the others take turns, for a part of the time.
 */
import { BoundedMap } from "../../base/bounded-map.ts";
import type { Clock } from "../../base/clock.ts";
import { networkOf } from "../../http/peer-network.ts";
import { DOUBTS_REST, PACED_ADDRESSES, SUSPICION_MS } from "../limits.ts";

/** Who sends a bearer. */
export interface Peer {
  /** One object a connection. */
  readonly connection: object;
  readonly address: string | undefined;
  /** Fires when nobody waits for the answer any more. */
  readonly signal: AbortSignal;
}

/** Verifications by connection, the one whose turn it is first. */
type Line = Map<object, (() => void)[]>;

export class SignatureQueue {
  readonly #clock: Clock;
  readonly #trusted = new WeakSet<object>();
  /** When an address last sent a signature that did not count. */
  readonly #failedMs = new BoundedMap<string, number>(PACED_ADDRESSES);
  /** Checks for addresses without a recent failure go first; those for the other addresses follow. */
  readonly #unsuspected: Line = new Map();
  readonly #suspected: Line = new Map();
  #restsUntilMs = -Infinity;
  #waits = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Does `verify` when it is this peer's turn. Rejects with the signal's reason, and with what `verify` throws. */
  async resolve<Result>(peer: Peer, verify: () => Result): Promise<Result> {
    if (this.#trusted.has(peer.connection)) return this.#verify(peer, verify);
    return new Promise((resolve, reject) => {
      this.#join(peer, () => {
        try {
          resolve(this.#verify(peer, verify));
        } catch (error) {
          reject(error);
        }
      });
    });
  }

  /** The connection has shown a bearer that counts. */
  trust({ connection }: Peer): void {
    this.#trusted.add(connection);
  }

  #verify<Result>({ connection, address, signal }: Peer, verify: () => Result): Result {
    signal.throwIfAborted();
    try {
      return verify();
    } catch (error) {
      this.#trusted.delete(connection);
      this.#failedMs.set(networkOf(address), this.#clock.monotonicMs());
      throw error;
    }
  }

  #join({ connection, address }: Peer, work: () => void): void {
    const failedMs = this.#failedMs.get(networkOf(address)) ?? -Infinity;
    const isSuspected = this.#clock.monotonicMs() - failedMs < SUSPICION_MS;
    const line = isSuspected ? this.#suspected : this.#unsuspected;
    const own = line.get(connection);
    if (own === undefined) line.set(connection, [work]);
    else own.push(work);
    this.#work();
  }

  /** Verifies what waits, with a rest after each. */
  #work(): void {
    while (!this.#waits) {
      const fromMs = this.#clock.monotonicMs();
      if (fromMs < this.#restsUntilMs) return this.#workLater(this.#restsUntilMs - fromMs);
      const next = this.#next();
      if (next === undefined) return;
      next();
      const untilMs = this.#clock.monotonicMs();
      this.#restsUntilMs = untilMs + (untilMs - fromMs) * DOUBTS_REST;
    }
  }

  #workLater(ms: number): void {
    this.#waits = true;
    this.#clock.after(ms, () => {
      this.#waits = false;
      this.#work();
    });
  }

  #next(): (() => void) | undefined {
    const line = this.#unsuspected.size > 0 ? this.#unsuspected : this.#suspected;
    const [first] = line;
    if (first === undefined) return undefined;
    const [connection, own] = first;
    line.delete(connection);
    const next = own.shift();
    if (own.length > 0) line.set(connection, own);
    return next;
  }
}
