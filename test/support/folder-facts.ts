import type { SyncFacts } from "../../src/agent/folder/sync-status.ts";

/** What the status of a synced folder tells besides its passes. */
export function folderFacts(parts: Partial<SyncFacts> = {}): SyncFacts {
  return {
    folder: "/synced",
    address: "file:///b",
    cache: () => ({ bytes: 0, limit: 1 }),
    paused: () => null,
    requests: () => null,
    masters: () => null,
    conflicts: () => [],
    ...parts,
  };
}
