/** How much a master stores of one bucket, as far as that can be told: masters count by owner. */
import { SynclineError } from "../../base/errors.ts";
import type { Master } from "../../net/master-connection.ts";

/** In bytes of blocks, garbage too. Undefined unless it is the caller's only bucket, and where the master does not tell. */
export async function storedBytes(master: Master, bucket: string): Promise<number | undefined> {
  try {
    const names = bucketsIn(await (await master.call({ method: "GET", path: "/v1/buckets" })).json());
    if (names.length !== 1 || names[0] !== bucket) return undefined;
    const state = await (await master.call({ method: "GET", path: "/api/v1/storage" })).json();
    const bytes = (state as { usedBytes?: unknown } | null)?.usedBytes;
    return typeof bytes === "number" && Number.isSafeInteger(bytes) && bytes >= 0 ? bytes : undefined;
  } catch (error) {
    // What the figure is for tells better what is wrong.
    if (error instanceof SynclineError) return undefined;
    throw error;
  }
}

function bucketsIn(value: unknown): unknown[] {
  const listed = (value as { buckets?: unknown } | null)?.buckets;
  return Array.isArray(listed) ? listed.map((item) => (item as { bucket?: unknown } | null)?.bucket) : [];
}
