/** How much a master stores for its caller, and how much it may: `GET /api/v1/storage`. */
import type { Master } from "../../net/master-connection.ts";

export interface OwnerQuota {
  readonly usedBytes: number;
  readonly quotaBytes: number;
}

/** Undefined: there is no limit, or the master reports none. Throws as the call does. */
export async function readQuota(master: Master): Promise<OwnerQuota | undefined> {
  const answer = await master.call({ method: "GET", path: "/api/v1/storage" });
  return parseQuota(await answer.json());
}

/** Undefined for no limit, and for anything unclear. */
export function parseQuota(value: unknown): OwnerQuota | undefined {
  const { usedBytes, quotaBytes } = (typeof value === "object" && value !== null ? value : {}) as Record<
    string,
    unknown
  >;
  return isSize(usedBytes) && isSize(quotaBytes) ? { usedBytes, quotaBytes } : undefined;
}

function isSize(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}
