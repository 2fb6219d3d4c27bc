/**
 * Clients that send hundreds of requests without waiting for answers. node:http parses a whole read at once: some 1,600
 * requests, 13 ms of CPU and 6 MiB. Such a connection is cut, and the next ones from its address are read one at a time,
 * spaced apart.
 */
import type { Socket } from "node:net";
import { BoundedMap } from "../base/bounded-map.ts";
import type { Clock } from "../base/clock.ts";
import { networkOf } from "./peer-network.ts";

/** Time between connections of an address that overran, and how long the overrun is remembered. */
const SPACING_MS = 100;
const REMEMBERED_MS = 10_000;
const MAX_ADDRESSES = 8_192;

export class Overruns {
  readonly #clock: Clock;
  readonly #byAddress = new BoundedMap<string, { nextMs: number; untilMs: number }>(MAX_ADDRESSES);

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** A connection from this address was cut. */
  note(address: string | undefined): void {
    const nowMs = this.#clock.monotonicMs();
    const network = networkOf(address);
    const nextMs = Math.max(this.#byAddress.get(network)?.nextMs ?? 0, nowMs + SPACING_MS);
    this.#byAddress.set(network, { nextMs, untilMs: nowMs + REMEMBERED_MS });
  }

  /** Delays a new connection from such an address until its turn. */
  admit(socket: Socket): void {
    const known = this.#byAddress.get(networkOf(socket.remoteAddress));
    const nowMs = this.#clock.monotonicMs();
    if (known === undefined || known.untilMs <= nowMs) return;
    const waitMs = known.nextMs - nowMs;
    known.nextMs = Math.max(known.nextMs, nowMs) + SPACING_MS;
    if (waitMs <= 0) return;
    socket.pause();
    const timer = this.#clock.after(waitMs, () => socket.resume());
    socket.once("close", () => timer[Symbol.dispose]());
  }
}
