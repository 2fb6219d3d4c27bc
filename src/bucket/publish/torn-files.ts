/** Reports files whose writer lacked some bytes that the bucket no longer has (rebase/gone-contents.ts). */
import type { Log } from "../../base/log.ts";
import type { EpochTree } from "./workspace.ts";

export function reportTornFiles(log: Log, { built: { torn } }: EpochTree): void {
  if (torn === 0) return;
  log.warn(
    "Some partly written files lack their other bytes, which the bucket no longer has. See their conflict copies.",
    { files: torn },
  );
}
