/**
 * The overlay as the publisher sees it, on the other thread. Epochs cross in pieces: copying one of 16,000 objects at once would
 * hold up the thread that serves for a tenth of a second, and take memory for all of it twice.
 */
import type { ChangedObject, ChangeSet, PublishedEpoch } from "../bucket/change-set.ts";
import type { PublisherOverlay } from "./publisher.ts";
import type { Caller } from "./rpc.ts";
import type { PublishedObject, WorkerMethods } from "./threads.ts";

/** Objects in one message. */
const PIECE = 512;

export function overlayBehind(call: Caller<WorkerMethods>): PublisherOverlay {
  return {
    async seal(): Promise<ChangeSet | undefined> {
      const sealed = await call("seal", undefined);
      if (sealed === undefined) return undefined;
      const objects: ChangedObject[] = [];
      for (let from = 0; from < sealed.count; from += PIECE) {
        objects.push(...(await call("sealedObjects", { from, to: from + PIECE })));
      }
      return { ...sealed.head, objects };
    },
    async published({ epoch, base, objects }: PublishedEpoch): Promise<void> {
      let first = true;
      let piece: PublishedObject[] = [];
      const send = async () => {
        await call("publishedObjects", { first, objects: piece });
        first = false;
        piece = [];
      };
      for (const entry of objects) {
        piece.push(entry);
        if (piece.length === PIECE) await send();
      }
      await send();
      await call("published", { epoch, base });
    },
    adopt: (base) => call("adopt", base),
  };
}
