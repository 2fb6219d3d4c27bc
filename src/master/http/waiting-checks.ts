/**
 * Checks that wait for their turn: networks take turns, and within a network its connections. Both the number in all and that
 * of one network are bounded, and when it is full, the network with the most waiting makes room for one with fewer.
 */
import { NETWORK_WAITING_SIGNATURES, WAITING_SIGNATURES } from "../limits.ts";

export interface WaitingCheck {
  readonly network: string;
  /** One object per connection. */
  readonly connection: object;
  run(): void;
  /** Called instead of `run` if there is no room. */
  refuse(): void;
}

interface Network {
  size: number;
  /** Next in line first. */
  readonly connections: Map<object, Set<WaitingCheck>>;
}

export class WaitingChecks {
  /** Next in line first; none is empty. */
  readonly #networks = new Map<string, Network>();
  #size = 0;

  /** Refuses one if there is no room: this one, or the last of a network with more. */
  add(check: WaitingCheck): void {
    const own = this.#networks.get(check.network)?.size ?? 0;
    if (own >= NETWORK_WAITING_SIGNATURES) return check.refuse();
    if (this.#size >= WAITING_SIGNATURES) {
      const displaced = this.#lastOfLargest(own + 1);
      if (displaced === undefined) return check.refuse();
      this.delete(displaced);
      displaced.refuse();
    }
    this.#push(check);
  }

  /** Removes and returns the next one: of a network that is not suspected, if there is one. */
  take(isSuspected: (network: string) => boolean): WaitingCheck | undefined {
    const next = this.#first(isSuspected);
    if (next === undefined) return undefined;
    this.delete(next);
    moveLast(this.#networks.get(next.network)?.connections, next.connection);
    moveLast(this.#networks, next.network);
    return next;
  }

  delete(check: WaitingCheck): void {
    const network = this.#networks.get(check.network);
    const checks = network?.connections.get(check.connection);
    if (network === undefined || checks?.delete(check) !== true) return;
    if (checks.size === 0) network.connections.delete(check.connection);
    this.#size--;
    if (--network.size === 0) this.#networks.delete(check.network);
  }

  #first(isSuspected: (network: string) => boolean): WaitingCheck | undefined {
    const names = [...this.#networks.keys()];
    const name = names.find((each) => !isSuspected(each)) ?? names[0];
    const network = name === undefined ? undefined : this.#networks.get(name);
    const [checks = []] = network?.connections.values() ?? [];
    const [first] = checks;
    return first;
  }

  #push(check: WaitingCheck): void {
    const { network, connection } = check;
    const known = this.#networks.get(network) ?? { size: 0, connections: new Map<object, Set<WaitingCheck>>() };
    const checks = known.connections.get(connection) ?? new Set();
    this.#networks.set(network, known);
    known.connections.set(connection, checks.add(check));
    known.size++;
    this.#size++;
  }

  /** Of the network with the most waiting, if these are more than `most`. */
  #lastOfLargest(most: number): WaitingCheck | undefined {
    let largest: Network | undefined;
    for (const network of this.#networks.values()) if (network.size > (largest?.size ?? most)) largest = network;
    const checks = [...(largest?.connections.values() ?? [])].at(-1) ?? [];
    return [...checks].at(-1);
  }
}

function moveLast<Key, Value>(line: Map<Key, Value> | undefined, key: Key): void {
  const value = line?.get(key);
  if (value === undefined) return;
  line?.delete(key);
  line?.set(key, value);
}
