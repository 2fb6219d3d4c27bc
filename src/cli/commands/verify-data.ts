/** `syncline verify --data`: checks a master's data folder on its machine, while no master runs on it. */
import type { Wallet } from "../../base/ids.ts";
import { silentLog } from "../../base/log.ts";
import { auditData, type DataReport } from "../../master/store/audit.ts";
import type { DataDamage } from "../../master/store/damage.ts";
import { lockExistingFolder } from "../../master/store/data-folder.ts";
import { systemPackDisk } from "../../master/store/pack-disk.ts";
import { type DataRepair, repairData } from "../../master/store/repair.ts";
import { storeError } from "../../objects/disk.ts";
import type { ExitStatus } from "../exit-status.ts";
import type { Output } from "../terminal/output.ts";
import type { Amounts } from "../terminal/progress-rate.ts";
import type { Runtime } from "../runtime.ts";
import { printBytes, printCount } from "../terminal/text.ts";

/** Throws `state_in_use` while a master runs there, `no_such_path`, `store_failed`, `disk_full`. */
export async function verifyData(
  dir: string,
  repair: boolean,
  { output, runtime }: { readonly output: Output; readonly runtime: Runtime },
): Promise<ExitStatus> {
  const lock = await lockExistingFolder(dir, systemPackDisk);
  try {
    let report = await examine(dir, output);
    let repairs: DataRepair[] = [];
    if (repair && report.damage.length > 0) {
      const { clock } = runtime;
      repairs = await repairData({ dir, clock, disk: systemPackDisk, log: silentLog }, report.damage);
      report = await examine(dir, output);
    }
    for (const done of repairs) output.result({ repaired: done }, `repaired ${where(done)}: ${done.what}`);
    for (const item of report.damage) output.result({ damage: item }, `damaged  ${where(item)}: ${item.what}`);
    const { owners, buckets, packs, blocks, bytes, damage } = report;
    const summary = { owners, buckets, packs, blocks, bytes, damaged: damage.length, repaired: repairs.length };
    const found = damage.length === 0 ? "no problems found" : `${damage.length} problems found`;
    const held = [
      printCount(owners, "owner"),
      printCount(buckets, "bucket"),
      printCount(packs, "pack"),
      printCount(blocks, "block"),
    ];
    const text = `${held.join(", ")}, ${printBytes(bytes)}: ${found}.`;
    output.result(summary, text);
    return damage.length === 0 ? 0 : 8;
  } catch (cause) {
    throw storeError(cause, dir, "verifying it");
  } finally {
    lock[Symbol.dispose]();
  }
}

async function examine(dir: string, output: Output): Promise<DataReport> {
  using progress = output.progress("verify");
  let done = 0;
  let total: Amounts | undefined;
  return await auditData({
    dir,
    disk: systemPackDisk,
    ...(progress.isShown && { onTotal: (bytes: number) => (total = { bytes }) }),
    onBytes: (bytes) => progress.update({ bytes: (done += bytes) }, total),
  });
}

interface Where extends Partial<Pick<DataDamage, "bucket" | "root" | "cid">> {
  readonly owner: Wallet | undefined;
  readonly pack: string | undefined;
}

function where({ owner, bucket, root, pack, cid }: Where): string {
  const parts = [
    owner,
    bucket,
    root === undefined ? undefined : `root ${root}`,
    pack === undefined ? undefined : `pack ${pack}`,
    cid === undefined ? undefined : `block ${cid}`,
  ];
  return parts.filter((part) => part !== undefined).join(" ");
}
