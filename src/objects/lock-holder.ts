/** What a lock, or a place in a line, says about the process that holds it. */
import { orElse } from "../base/unless.ts";
import type { ProcessIdentity } from "./process-identity.ts";

export interface LockHolder extends ProcessIdentity {
  /** Unique to each taking of the lock. */
  readonly nonce: string;
  /** RFC 3339, for display. */
  readonly created: string;
}

/** One taking of a lock. */
export type LockOwner = Pick<LockHolder, "pid" | "nonce">;

/** Undefined if the text names no holder. */
export function parseHolder(text: string): LockHolder | undefined {
  return orElse(undefined, () => {
    const value: unknown = JSON.parse(text);
    return isHolder(value) ? value : undefined;
  });
}

export function describeHolder(holder: LockHolder | undefined): string {
  if (holder === undefined) return "an unknown process";
  return `process ${holder.pid} on ${holder.host.split("/").pop() ?? "?"} since ${holder.created}`;
}

function isHolder(value: unknown): value is LockHolder {
  if (typeof value !== "object" || value === null) return false;
  const { host, boot, namespace, nonce, created, pid, started } = value as Record<string, unknown>;
  const texts = [host, boot, namespace, created].every((text) => typeof text === "string");
  return texts && typeof nonce === "string" && /^[0-9a-f]{24}$/.test(nonce) && isCount(pid) && isCount(started);
}

function isCount(value: unknown): boolean {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}
