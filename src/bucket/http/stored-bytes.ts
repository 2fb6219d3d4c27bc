/** How much a master stores for one bucket, as far as that can be told: masters count by owner. */
import { SynclineError } from "../../base/errors.ts";
import type { Master } from "../../net/master-connection.ts";

/** In bytes of blocks, including garbage. Undefined where the caller has several buckets or the master does not tell. */
export async function storedBytes(master: Master, bucket: string): Promise<number | undefined> {
  try {
    const names = bucketsIn(await (await master.call({ method: "GET", path: "/v1/buckets" })).json());
    if (names.length !== 1 || names[0] !== bucket) return undefined;
    const state = await (await master.call({ method: "GET", path: "/api/v1/storage" })).json();
    const bytes = (state as { usedBytes?: unknown } | null)?.usedBytes;
    return typeof bytes === "number" && Number.isSafeInteger(bytes) && bytes >= 0 ? bytes : undefined;
  } catch (error) {
    // The operation that wants the figure reports errors better.
    if (error instanceof SynclineError) return undefined;
    throw error;
  }
}

function bucketsIn(value: unknown): unknown[] {
  const listed = (value as { buckets?: unknown } | null)?.buckets;
  return Array.isArray(listed) ? listed.map((item) => (item as { bucket?: unknown } | null)?.bucket) : [];
}
