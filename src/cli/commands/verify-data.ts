/** `syncline verify --data` and `--arbiter`: checks what a master, or several masters, keep. */
import { SynclineError } from "../../base/errors.ts";
import type { Wallet } from "../../base/ids.ts";
import { silentLog } from "../../base/log.ts";
import { auditShared } from "../../master/shared/shared-audit.ts";
import { openMasterObjects } from "../../master/shared/open-objects.ts";
import { requireUsed } from "../../master/shared/pack-objects.ts";
import { auditData, type DataReport } from "../../master/store/audit.ts";
import type { DataDamage } from "../../master/store/damage.ts";
import { lockExistingFolder } from "../../master/store/data-folder.ts";
import { systemPackDisk } from "../../master/store/pack-disk.ts";
import { type DataRepair, repairData } from "../../master/store/repair.ts";
import { storeError } from "../../objects/disk.ts";
import type { Call } from "../command.ts";
import type { ExitStatus } from "../exit-status.ts";
import type { Output } from "../terminal/output.ts";
import type { Amounts } from "../terminal/progress-rate.ts";
import type { Runtime } from "../runtime.ts";
import { openArbiter } from "./master-storage.ts";
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
    return tell(output, report, { repaired: repairs.length });
  } catch (cause) {
    throw storeError(cause, dir, "verifying it");
  } finally {
    lock[Symbol.dispose]();
  }
}

type SharedCall = Pick<Call<"arbiter" | "store">, "options" | "output" | "runtime">;

/** Beside running masters. Throws `usage`, and what opening the arbiter or the store throws. */
export async function verifyShared({ options, output, runtime }: SharedCall): Promise<ExitStatus> {
  const { arbiter: url, store } = options;
  if (url === undefined || store === undefined) {
    throw new SynclineError("usage", "--arbiter and --store belong together: give both.");
  }
  await using objects = await openMasterObjects(store, runtime);
  await requireUsed(objects);
  await using arbiter = await openArbiter(url, runtime, silentLog, { create: false });
  using progress = output.progress("verify");
  const report = await auditShared({ arbiter, objects, ...shownBy(progress) });
  const { orphans } = report;
  if (orphans > 0) output.notice(`No log names ${printCount(orphans, "object")}: a collection deletes old ones.`);
  return tell(output, report, { orphans });
}

function tell(output: Output, report: DataReport, rest: Readonly<Record<string, number>>): ExitStatus {
  const { owners, buckets, packs, blocks, bytes, damage } = report;
  for (const item of damage) output.result({ damage: item }, `damaged  ${where(item)}: ${item.what}`);
  const summary = { owners, buckets, packs, blocks, bytes, damaged: damage.length, ...rest };
  const found = damage.length === 0 ? "no problems found" : `${printCount(damage.length, "problem")} found`;
  const held = [
    printCount(owners, "owner"),
    printCount(buckets, "bucket"),
    printCount(packs, "pack"),
    printCount(blocks, "block"),
  ];
  output.result(summary, `${held.join(", ")}, ${printBytes(bytes)}: ${found}.`);
  return damage.length === 0 ? 0 : 8;
}

async function examine(dir: string, output: Output): Promise<DataReport> {
  using progress = output.progress("verify");
  return await auditData({ dir, disk: systemPackDisk, ...shownBy(progress) });
}

function shownBy(progress: ReturnType<Output["progress"]>) {
  let done = 0;
  let total: Amounts | undefined;
  return {
    ...(progress.isShown && { onTotal: (bytes: number) => (total = { bytes }) }),
    onBytes: (bytes: number) => progress.update({ bytes: (done += bytes) }, total),
  };
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
