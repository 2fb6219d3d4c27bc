/** Repairs a bucket in an object store from its own footers and from local caches, and says what is still wrong. */
import type { Random } from "../../base/random.ts";
import type { BlockReader } from "../../blocks/block-store.ts";
import type { Bucket } from "../bucket.ts";
import { auditObjects } from "../packed/object-audit.ts";
import { repairObjects } from "../packed/object-repair.ts";
import type { ObjectRepair } from "../packed/object-repair.ts";
import type { PackedRemote } from "../packed/packed-remote.ts";
import { verifyBucket } from "../verify.ts";
import type { OnProgress, VerifyReport } from "./report.ts";

export interface RepairOutcome {
  readonly repaired: ObjectRepair["repaired"];
  /** The bucket after the repair. */
  readonly report: VerifyReport;
}

/** What `verify` does on a bucket in an object store. */
export function verifyPacked(bucket: Bucket, remote: PackedRemote, onProgress?: OnProgress): Promise<VerifyReport> {
  const audit = (blocks: boolean) => auditObjects(remote, { blocks });
  return verifyBucket(bucket, { blocks: remote.blocks, audit, ...(onProgress && { onProgress }) });
}

/**
 * Verifies, repairs if anything is damaged, and verifies again. `local` holds copies of blocks: the caches of this machine.
 * Throws as `verifyBucket`, `disk_full`, and `root_moved` when someone published meanwhile.
 */
export async function repairPacked(
  bucket: Bucket,
  remote: PackedRemote,
  options: { readonly random: Random; readonly local: BlockReader | undefined; readonly onProgress?: OnProgress },
): Promise<RepairOutcome> {
  const before = await verifyPacked(bucket, remote, options.onProgress);
  if (before.damage.length === 0) return { repaired: [], report: before };
  const { repaired } = await repairObjects(remote, {
    random: options.random,
    local: options.local,
    wanted: before.lost,
  });
  return { repaired, report: await verifyPacked(bucket, remote, options.onProgress) };
}
