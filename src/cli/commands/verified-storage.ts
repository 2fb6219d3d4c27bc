/** A bucket's storage for `verify`: reads and audits it, and puts back what was lost. */
import { unlessDamaged } from "../../base/errors.ts";
import type { Cid } from "../../base/ids.ts";
import type { BlockReader } from "../../blocks/block-store.ts";
import { RetryReader } from "../../blocks/retry-reader.ts";
import { parseAddress } from "../../bucket/address.ts";
import { openAtMaster, openPacked, type RemoteOptions } from "../../bucket/open-remote.ts";
import { auditObjects } from "../../bucket/packed/object-audit.ts";
import { mappedBlocks, PackDirectory } from "../../bucket/packed/pack-directory.ts";
import type { PackedRemote } from "../../bucket/packed/packed-remote.ts";
import { repairObjects } from "../../bucket/packed/object-repair.ts";
import type { VerifyOptions } from "../../bucket/verify.ts";

export interface VerifiedStorage extends AsyncDisposable, Pick<VerifyOptions, "blocks" | "audit"> {
  /** Upper bound of a walk, in blocks or bytes. Undefined: not counted, or the newest commit object is damaged. */
  most(): Promise<{ readonly blocks: number } | { readonly bytes: number } | undefined>;
  /** Puts back blocks of `wanted` that `local` has; answers what it mended, and where. */
  repair(wanted: readonly Cid[], local: BlockReader): Promise<readonly Repaired[]>;
}

export interface Repaired {
  readonly object: string;
  readonly what: string;
}

/** Throws as `openRemote`. */
export async function openVerified(address: string, options: RemoteOptions): Promise<VerifiedStorage> {
  const parsed = parseAddress(address);
  return parsed.isPacked ? packed(address, options) : master(await openAtMaster(parsed, options), options);
}

async function packed(address: string, options: RemoteOptions): Promise<VerifiedStorage> {
  const remote = await openPacked(address, options);
  return {
    blocks: remote.blocks,
    audit: (blocks) => auditObjects(remote, { blocks }),
    most: () => unlessDamaged(() => mappedIn(remote)),
    repair: async (wanted, local) =>
      (await repairObjects(remote, { random: options.random, local, wanted: [...wanted] })).repaired,
    [Symbol.asyncDispose]: () => remote[Symbol.asyncDispose](),
  };
}

async function mappedIn(remote: PackedRemote): Promise<{ readonly blocks: number } | undefined> {
  const root = await remote.readRoot();
  return root && { blocks: mappedBlocks(await new PackDirectory(remote.store).commitObject(root.commit)) };
}

/** A master checks its own files; blocks that it lost can be sent again. Answers that break off are requested again. */
function master(
  remote: Awaited<ReturnType<typeof openAtMaster>>,
  { clock, random, access }: RemoteOptions,
): VerifiedStorage {
  return {
    blocks: new RetryReader(remote.blocks, { clock, random, patienceMs: access?.patience?.ms }),
    async most() {
      const bytes = await remote.storedBytes();
      return bytes === undefined ? undefined : { bytes };
    },
    async repair(wanted, local) {
      const repaired: Repaired[] = [];
      for (const cid of wanted) {
        const bytes = await local.get(cid).catch(() => undefined);
        if (bytes === undefined) continue;
        await remote.blocks.putMany([{ cid, bytes }]);
        repaired.push({ object: remote.address, what: `resent block ${cid}` });
      }
      return repaired;
    },
    [Symbol.asyncDispose]: () => remote[Symbol.asyncDispose](),
  };
}
