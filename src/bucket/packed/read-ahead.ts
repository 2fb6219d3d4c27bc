/**
 * Reads what others publish while their turn is waited for, so that one's own is short: everybody else waits for that. It is only
 * put into memory, and what goes wrong here does so again for whoever needs it.
 */
import type { Clock } from "../../base/clock.ts";
import { ROOT_OBJECT } from "../../format/object-name.ts";
import { decodeRoot } from "../../format/root-object.ts";
import type { ObjectStore } from "../../objects/object-store.ts";
import type { PackDirectory } from "./pack-directory.ts";

/** Between two looks for what is new. Each costs a few ms of CPU, which beside many waiting writers of one machine is more than it saves. */
export const READ_AHEAD_MS = 1_000;
/** More than the root object has. */
const ROOT_BYTES = 4 * 1024;

export interface ReadAheadTools {
  readonly store: ObjectStore;
  readonly directory: PackDirectory;
  readonly clock: Clock;
}

/** What `waiting` comes to; reads ahead until then. */
export async function readingAhead<Result>(waiting: Promise<Result>, tools: ReadAheadTools): Promise<Result> {
  const ended = new AbortController();
  void readUntil(ended.signal, tools);
  try {
    return await waiting;
  } finally {
    ended.abort();
  }
}

/** Never rejects. */
async function readUntil(ended: AbortSignal, { store, directory, clock }: ReadAheadTools): Promise<void> {
  const slept = () =>
    clock.sleep(READ_AHEAD_MS, ended).then(
      () => true,
      () => false,
    );
  let last = "";
  while (await slept()) {
    try {
      // Not as `get` reads it: nothing is built on this root, so it need not be durable.
      const { bytes } = await store.getTail(ROOT_OBJECT, ROOT_BYTES);
      const { commit } = decodeRoot(bytes);
      if (commit !== last) await directory.readAhead(commit);
      last = commit;
    } catch {
      // Whoever needs it will say.
    }
  }
}
