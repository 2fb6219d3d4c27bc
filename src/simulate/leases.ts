/** Checks that a collector deletes nothing that was leased when it read the leases and still is. */
import { decodeLease, LEASE_LIFE_MS } from "../format/commits/lease.ts";
import { LEASE_FOLDER } from "../format/blocks/object-name.ts";
import type { ObjectInfo, ObjectStore } from "../objects/object-store.ts";
import { withMethods } from "./shared-folder.ts";

/** The `stored` store as a collector sees it, watched: `onFault` is called for each leased object that it deletes. */
export function heedingLeases(store: ObjectStore, stored: ObjectStore, onFault: (fault: string) => void): ObjectStore {
  let leased: ReadonlySet<string> = new Set();
  return withMethods(store, {
    async *list(prefix: string): AsyncIterable<ObjectInfo> {
      if (prefix === LEASE_FOLDER) leased = await leasedIn(stored);
      yield* store.list(prefix);
    },
    delete: async (name) => {
      // A lease released meanwhile protects nothing.
      if (leased.has(name) && (await leasedIn(stored)).has(name))
        onFault(`a collector deletes ${name}, which is leased`);
      return store.delete(name);
    },
  });
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
