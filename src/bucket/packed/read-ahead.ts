/**
 * Reads what others publish while their turn is waited for, so that one's own is short: everybody else waits for that. It is only
 * put into memory, and what goes wrong here does so again for whoever needs it.
 */
import type { Clock } from "../../base/clock.ts";
import type { Cid } from "../../base/ids.ts";
import { ROOT_OBJECT } from "../../format/blocks/object-name.ts";
import { decodeRoot } from "../../format/blocks/root-object.ts";
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

/** Has the commit object of the root read, and nothing else that it maps, which may not be needed. Never rejects. */
export async function readCommitAhead({
  store,
  directory,
}: Pick<ReadAheadTools, "store" | "directory">): Promise<void> {
  try {
    await directory.commitObject(await newestCommit(store));
  } catch {
    // Whoever needs it will say.
  }
}

/** Never rejects. */
async function readUntil(ended: AbortSignal, { store, directory, clock }: ReadAheadTools): Promise<void> {
  const slept = () =>
    clock.sleep(READ_AHEAD_MS, ended).then(
      () => true,
      () => false,
    );
  let last: Cid | undefined;
  while (await slept()) {
    try {
      const commit = await newestCommit(store);
      if (commit !== last) await directory.readAhead(commit);
      last = commit;
    } catch {
      // Whoever needs it will say.
    }
  }
}

/** Not as `get` reads the root: nothing is built on this one, so it need not be durable. */
async function newestCommit(store: ObjectStore): Promise<Cid> {
  const { bytes } = await store.getTail(ROOT_OBJECT, ROOT_BYTES);
  return decodeRoot(bytes).commit;
}
