/**
 * The overlay as the publisher sees it from the other thread. Epochs cross in pieces: copying 16,000 objects at once would
 * block the thread that serves for a tenth of a second, and hold all of it in memory twice.
 */
import { EPOCH_PIECE } from "../../base/limits.ts";
import type { ChangedObject, ChangeSet, PublishedEpoch } from "../../fstree/change-set.ts";
import { EncodedObjects, decodeChanged } from "../../overlay/data/encoded-epoch.ts";
import type { Units } from "../../format/commits/policy.ts";
import type { PublisherOverlay } from "../publishing/publisher-overlay.ts";
import type { Caller } from "./rpc.ts";
import type { WorkerMethods } from "./threads.ts";

export function overlayProxy(call: Caller<WorkerMethods>): PublisherOverlay {
  return {
    async seal(anew: boolean, removals?: Units): Promise<ChangeSet | undefined> {
      const sealed = await call("seal", { anew, removals });
      if (sealed === undefined) return undefined;
      const objects: ChangedObject[] = decodeChanged(sealed.first);
      for (let from = EPOCH_PIECE; from < sealed.count; from += EPOCH_PIECE) {
        objects.push(...decodeChanged(await call("sealedObjects", { from, to: from + EPOCH_PIECE })));
      }
      return { ...sealed.head, objects };
    },
    sending: (epoch, sent) => call("sending", { epoch, sent }),
    async published({ objects, ...epoch }: PublishedEpoch): Promise<void> {
      const pieces = EncodedObjects.of(objects, EPOCH_PIECE).pieces.map((piece, index) => ({ index, objects: piece }));
      for (const piece of pieces.slice(0, -1)) await call("publishedObjects", piece);
      await call("published", { ...epoch, last: pieces.at(-1) });
    },
    adopt: (base, units) => call("adopt", { base, units }),
    olderBases: () => call("olderBases", undefined),
  };
}
