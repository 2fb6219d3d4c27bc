/** The publisher of a simulated agent. It works on copies, as if the overlay were on a thread of its own. */
import { Publisher } from "../agent/publishing/publisher.ts";
import type { RenewableWriter } from "../agent/publishing/renewable-writer.ts";
import type { HeldBase } from "../agent/state/held-base.ts";
import { unlessDamaged } from "../base/errors.ts";
import { EPOCH_PIECE } from "../base/limits.ts";
import { silentLog } from "../base/log.ts";
import type { Random } from "../base/random.ts";
import type { Bucket } from "../bucket/bucket.ts";
import type { MergeSnapshots } from "../bucket/publish/workspace.ts";
import type { DataReader } from "../fstree/change-set.ts";
import { decodeChanged, encodeChanged, EncodedObjects } from "../overlay/data/encoded-epoch.ts";
import type { Objects } from "../vfs/objects.ts";
import type { Vfs } from "../vfs/vfs.ts";
import type { SimulatedProcess } from "./process.ts";

/** Removals sealed: the epoch has nothing else. */
export type EpochEvent = "sealed" | "removals sealed" | "published";

export interface PublisherParts {
  readonly process: Pick<SimulatedProcess, "alive" | "clock">;
  readonly heldBase: HeldBase;
  readonly bucket: Bucket;
  readonly vfs: Vfs;
  readonly objects: Objects;
  readonly writer: RenewableWriter;
  readonly merge?: MergeSnapshots;
  readonly data: DataReader;
  readonly random: Random;
  readonly onEpoch?: (event: EpochEvent, epoch: number) => void;
}

export function simulatedPublisher(parts: PublisherParts): Publisher {
  const { process, heldBase, bucket, vfs, objects, writer, merge, data, random, onEpoch = () => {} } = parts;
  const olderBases = () => objects.overlay.state.olderBases.map(({ base }) => base);
  return new Publisher({
    bucket,
    clock: process.clock,
    random,
    log: silentLog,
    writer,
    fixed: false,
    ...(merge && { merge }),
    overlay: {
      seal: async (anew, removals) => {
        await process.alive();
        const changes = vfs.seal(anew, removals);
        if (changes !== undefined) onEpoch(removals === undefined ? "sealed" : "removals sealed", changes.epoch);
        await vfs.sync();
        await process.alive();
        if (changes === undefined) return undefined;
        const { objects: changed, ...head } = changes;
        return { ...structuredClone(head), objects: decodeChanged(encodeChanged(changed)) };
      },
      sending: async (epoch, sent) => {
        await process.alive();
        await vfs.sending(epoch, structuredClone(sent));
        await process.alive();
      },
      published: async ({ objects: published, ...epoch }) => {
        await unlessDamaged(() => vfs.prepare(epoch.base, epoch.units));
        await process.alive();
        vfs.published({ ...structuredClone(epoch), objects: EncodedObjects.of(published, EPOCH_PIECE) });
        onEpoch("published", epoch.epoch);
      },
      adopt: async (base, units) => {
        await vfs.prepare(base, units);
        await process.alive();
        const [before] = vfs.heldEpochs;
        const adopts = vfs.adopt(structuredClone(base), structuredClone(units));
        const [now] = vfs.heldEpochs;
        // An epoch in flight was sealed anew.
        if (now !== undefined && now !== before) onEpoch("sealed", now);
        return adopts;
      },
      olderBases: async () => {
        await process.alive();
        return structuredClone(olderBases());
      },
    },
    data,
    base: vfs.baseState(),
    older: olderBases(),
    held: vfs.heldEpochs.length > 0,
    heldBase,
    releaseMemory: () => {},
  });
}
