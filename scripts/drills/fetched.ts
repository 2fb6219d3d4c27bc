/** What a program fetches through a mount. */
import { type AgentHandle, report, until } from "./lib.ts";

const MIB = 1024 * 1024;

/** How long the work takes, and how many bytes the agent's cache on disk gains by it. The cache may skip some blocks while it is busy. */
export async function fetchedBy(reader: AgentHandle, what: string, work: () => void) {
  const before = await settled(reader);
  const began = performance.now();
  work();
  const ms = performance.now() - began;
  const bytes = (await settled(reader)) - before;
  report(`      ${what}: ${(ms / 1000).toFixed(2)} s, the cache gained ${(bytes / MIB).toFixed(2)} MiB`);
  return { ms, bytes };
}

/** The size of the cache once nothing more arrives. */
async function settled({ status }: AgentHandle): Promise<number> {
  let last = -1;
  const isSteady = () => {
    const { bytes } = status().cache;
    return bytes === last || void (last = bytes);
  };
  await until(isSteady, 120_000, "the cache to settle", 500);
  return last;
}
