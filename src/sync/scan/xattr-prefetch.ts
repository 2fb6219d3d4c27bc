/** Finds new objects without extended attributes in batches, one ahead: few have any, and each query costs calls. */
import type { SyncDisk } from "../disk/disk.ts";
import type { LocalObject } from "./matching.ts";
import type { Found } from "./walk.ts";

export interface BareBatch {
  readonly objects: readonly LocalObject[];
  /** Its new objects without any. */
  readonly bare: ReadonlySet<Found>;
}

/** All objects in order. Throws as the disk does. */
export async function* prefetchXattrs(disk: SyncDisk, objects: readonly LocalObject[]): AsyncGenerator<BareBatch> {
  const batchAt = (at: number) => objects.slice(at, at + AT_ONCE);
  let asked = ask(disk, batchAt(0));
  try {
    for (let at = 0; at < objects.length; at += AT_ONCE) {
      const bare = await asked;
      asked = ask(disk, batchAt(at + AT_ONCE));
      // The error is reported when this batch's turn comes.
      asked.catch(() => {});
      yield { objects: batchAt(at), bare };
    }
  } finally {
    // The caller then closes the disk.
    await asked.catch(() => {});
  }
}

async function ask(disk: SyncDisk, objects: readonly LocalObject[]): Promise<ReadonlySet<Found>> {
  const found = objects.flatMap(({ id, found: [first] }) => (id === undefined && first !== undefined ? [first] : []));
  if (disk.areBare === undefined || found.length === 0) return new Set();
  const bare = await disk.areBare(found.map(({ path }) => path));
  return new Set(found.filter((_, index) => bare[index] === true));
}

const AT_ONCE = 1_024;
