/** Collects the garbage of a bucket that a master keeps: history is thinned from here, the rest is the master's. */
import type { CollectOptions, CollectReport } from "../gc/collector.ts";
import { thin, type ThinOptions } from "../gc/thin.ts";
import type { HttpRemote } from "./http-remote.ts";

type Collecting = ThinOptions & Pick<CollectOptions, "onProgress">;

/** The master's packs are what a folder's objects are. Throws as `thin` and as HttpRemote.collect. */
export async function collectAtMaster(
  remote: Pick<HttpRemote, "collect">,
  options: Collecting,
): Promise<CollectReport> {
  const thinned = await thin(options);
  const { packs, ...collected } = await remote.collect(options);
  const freedBytes = collected.bytes.before - collected.bytes.after;
  const isWorth = freedBytes > 0 || thinned.commits.after < thinned.commits.before;
  const told = { isWorth, completed: false, held: null, passedOver: [] };
  return { ...thinned, objects: packs, ...collected, freedBytes, ...told };
}
