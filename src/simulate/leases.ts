/**
 * Checks that collectors respect leases. A collector must not delete a pack that was leased when it read the leases, and still
 * is. If another collector has found the pack released in between, it may go, even if a late request has restored the lease.
 */
import { decodeLease, LEASE_LIFE_MS } from "../format/commits/lease.ts";
import { LEASE_FOLDER } from "../format/blocks/object-name.ts";
import type { ObjectInfo, ObjectStore } from "../objects/object-store.ts";
import { withMethods } from "./shared-folder.ts";

export class HeededLeases {
  readonly #stored: ObjectStore;
  readonly #onFault: (fault: string) => void;
  /** For each collector: the packs that were leased when it read the leases, and each time another one has read them since. */
  readonly #seen: { leased: ReadonlySet<string> }[] = [];

  /** `onFault` is called for each leased object that a collector deletes. */
  constructor(stored: ObjectStore, onFault: (fault: string) => void) {
    this.#stored = stored;
    this.#onFault = onFault;
  }

  /** Returns `store` for one more collector, whose deletions are checked. */
  by(store: ObjectStore): ObjectStore {
    const own: { leased: ReadonlySet<string> } = { leased: new Set() };
    this.#seen.push(own);
    return withMethods(store, {
      list: (prefix: string) => this.#listed(store, prefix, own),
      delete: async (name) => {
        // A lease released meanwhile protects nothing.
        if (own.leased.has(name) && (await leasedIn(this.#stored)).has(name))
          this.#onFault(`a collector deletes ${name}, which is leased`);
        return store.delete(name);
      },
    });
  }

  async *#listed(store: ObjectStore, prefix: string, own: { leased: ReadonlySet<string> }): AsyncIterable<ObjectInfo> {
    if (prefix === LEASE_FOLDER) {
      const now = await leasedIn(this.#stored);
      for (const seen of this.#seen) seen.leased = new Set([...seen.leased].filter((name) => now.has(name)));
      own.leased = now;
    }
    yield* store.list(prefix);
  }
}

/** The store as seen by a collector to which leases are invisible. */
export function withoutLeases(store: ObjectStore): ObjectStore {
  return withMethods(store, {
    async *list(prefix: string): AsyncIterable<ObjectInfo> {
      if (prefix !== LEASE_FOLDER) yield* store.list(prefix);
    },
  });
}

async function leasedIn(store: ObjectStore): Promise<Set<string>> {
  const nowMs = (await store.now()) ?? 0;
  const leased = new Set<string>();
  for await (const { name, modifiedMs } of store.list(LEASE_FOLDER)) {
    const lease = modifiedMs >= nowMs - LEASE_LIFE_MS ? await store.get(name) : undefined;
    for (const pack of lease === undefined ? [] : decodeLease(lease.bytes)) leased.add(pack);
  }
  return leased;
}
