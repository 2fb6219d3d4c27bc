/** Has a master collect the caller's garbage, and waits for the result. */
import type { Clock } from "../../base/clock.ts";
import { SynclineError } from "../../base/errors.ts";
import type { Master } from "../../net/master-connection.ts";

/** A master's report of a collection: over all buckets of the owner. */
export interface MasterCollection {
  readonly packs: { readonly before: number; readonly after: number };
  /** Bytes of blocks in packs. */
  readonly bytes: { readonly before: number; readonly after: number };
  /** Packs that were rewritten or removed, or would be, and the bytes copied from them. */
  readonly dropped: number;
  readonly repackedBytes: number;
}

export interface MasterCollectionOptions {
  readonly dryRun: boolean;
  /** Blocks found that must stay, of all stored blocks; only from masters that report it. */
  readonly onProgress?: ((progress: { readonly blocks: number; readonly of: number }) => void) | undefined;
}

/** Throws the collection's error (its code if it is one of those below, else `store_failed`), and as calls do. */
export async function collectAtMaster(
  master: Master,
  clock: Clock,
  { dryRun, onProgress }: MasterCollectionOptions,
): Promise<MasterCollection> {
  await master.capabilities();
  const bytes = Buffer.from(JSON.stringify({ dryRun }));
  const body = { type: "application/json", bytes: bytes.length, pieces: [bytes] };
  for (;;) {
    const begun = await master.call({ method: "POST", path: PATH, body, statuses: [202] });
    const asked = await begun.json();
    const number = countIn(asked, "number", master);
    let others = 0;
    for (let running = true; running; await clock.sleep(COLLECTION_POLL_MS)) {
      const state = await (await master.call({ method: "GET", path: PATH })).json();
      const isOther = countersDiffer(asked, state);
      others = isOther ? others + 1 : 0;
      const ended = isOther ? undefined : memberOf(state, dryRun ? "preview" : "collected");
      if (isObject(ended) && countIn(ended, "number", master) >= number) return reportIn(ended, master);
      const progress = isOther ? undefined : memberOf(state, "progress");
      if (isObject(progress)) {
        onProgress?.({ blocks: countIn(progress, "blocks", master), of: countIn(progress, "of", master) });
      }
      // Neither ended nor under way: an older master was restarted meanwhile, and counts anew. A balancer may ask several
      // masters in turn.
      running = isOther ? others < MOST_OTHERS : memberOf(state, "running") === true;
    }
  }
}

/** How often the master is asked whether it has ended. */
const COLLECTION_POLL_MS = 250;
/** After so many answers of other masters in a row, the one that was asked counts as gone. */
const MOST_OTHERS = 8;
const PATH = "/v1/collection";

function reportIn(ended: object, master: Master): MasterCollection {
  const error = memberOf(ended, "error");
  if (isObject(error)) throw errorOf(error, master);
  const range = (name: string) => {
    const value = memberOf(ended, name);
    return { before: countIn(value, "before", master), after: countIn(value, "after", master) };
  };
  const [dropped, repackedBytes] = [countIn(ended, "dropped", master), countIn(ended, "repackedBytes", master)];
  return { packs: range("packs"), bytes: range("bytes"), dropped, repackedBytes };
}

function errorOf(error: object, { address }: Master): SynclineError {
  const [code, said] = [memberOf(error, "code"), memberOf(error, "message")];
  const message = `${address} did not collect: ${typeof said === "string" ? said : "it does not say why."}`;
  switch (code) {
    case "arbiter_unreachable":
    case "bucket_locked":
    case "disk_full":
    case "root_moved":
    case "root_rolled_back":
    case "store_corrupt":
    case "store_unreachable":
      return new SynclineError(code, message);
    default:
      return new SynclineError("store_failed", message);
  }
}

/** Whether the answers come from two masters, or from before and after a restart. False for older masters, which do not say. */
function countersDiffer(one: unknown, two: unknown): boolean {
  const [first, second] = [memberOf(one, "counter"), memberOf(two, "counter")];
  return first !== undefined && second !== undefined && first !== second;
}

function countIn(value: unknown, name: string, { address }: Master): number {
  const count = memberOf(value, name);
  if (typeof count === "number" && Number.isSafeInteger(count) && count >= 0) return count;
  throw new SynclineError("store_failed", `${address} answered with an invalid collection report.`);
}

function memberOf(value: unknown, name: string): unknown {
  return isObject(value) ? (value as Record<string, unknown>)[name] : undefined;
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}
