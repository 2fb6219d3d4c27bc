/**
 * Reads what others publish while waiting for a turn, so that our own turn is short: all other writers wait for it. Only
 * fills memory; errors here come up again when the blocks are needed.
 */
import type { Clock } from "../../base/clock.ts";
import type { Cid } from "../../base/ids.ts";
import { ROOT_OBJECT } from "../../format/blocks/object-name.ts";
import { decodeRoot, type RootPointer } from "../../format/blocks/root-object.ts";
import type { ObjectStore } from "../../objects/object-store.ts";
import type { PackDirectory } from "./pack-directory.ts";

/** The time between two looks. Each costs a few ms of CPU, more than it saves when many writers wait on one machine. */
export const READ_AHEAD_MS = 1_000;
/** Larger than the root object. */
const ROOT_BYTES = 4 * 1024;

export interface ReadAheadTools {
  readonly store: ObjectStore;
  readonly directory: PackDirectory;
  readonly clock: Clock;
}

/** The result of `waiting`; reads ahead until then. */
export async function readingAhead<Result>(waiting: Promise<Result>, tools: ReadAheadTools): Promise<Result> {
  const ended = new AbortController();
  void readUntil(ended.signal, tools);
  try {
    return await waiting;
  } finally {
    ended.abort();
  }
}

/** Reads the root's commit object and nothing else that it maps, which may not be needed. Never rejects. */
export async function readCommitAhead({
  store,
  directory,
}: Pick<ReadAheadTools, "store" | "directory">): Promise<void> {
  try {
    const { commit, version } = await newestRoot(store);
    await directory.commitObject(commit, version);
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
      const root = await newestRoot(store);
      if (root.commit !== last) await directory.readAhead(root);
      last = root.commit;
    } catch {
      // Whoever needs it will say.
    }
  }
}

/** Unlike `get`: nothing is built on this root, so it need not be durable. */
async function newestRoot(store: ObjectStore): Promise<RootPointer> {
  const { bytes } = await store.getTail(ROOT_OBJECT, ROOT_BYTES);
  return decodeRoot(bytes);
}
