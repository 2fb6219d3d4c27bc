/** Collects the garbage of a bucket at a master: this process thins history, the master does the rest. */
import type { CollectOptions, CollectReport } from "../gc/collector.ts";
import { thin, type ThinOptions } from "../gc/thin.ts";
import type { HttpRemote } from "./http-remote.ts";

type Collecting = ThinOptions & Pick<CollectOptions, "onProgress">;

/** The report counts the master's packs as a folder's objects. Throws as `thin` and as HttpRemote.collect. */
export async function collectAtMaster(
  remote: Pick<HttpRemote, "collect">,
  options: Collecting,
): Promise<CollectReport> {
  const { retention, commits, swaps } = await thin(options);
  const { packs, ...collected } = await remote.collect(options);
  const freedBytes = collected.bytes.before - collected.bytes.after;
  const isWorth = freedBytes > 0 || commits.after < commits.before;
  const told = { isWorth, completed: false, held: null, passedOver: [] };
  return { retention, commits, swaps, objects: packs, ...collected, freedBytes, ...told };
}
