/** What is needed to put the bucket's objects into the folder. */
import type { SyncDatabase } from "../known/database.ts";
import type { DiskPath } from "../disk/disk.ts";
import type { Entry } from "../known/entry.ts";
import type { UnitRules } from "../../fstree/merge/units/unit-rules.ts";
import type { IgnoreRules } from "../scan/ignore-rules.ts";
import type { IncomingContext } from "./incoming.ts";
import type { RedoLog } from "./redo-log.ts";

export interface ApplyContext extends IncomingContext {
  readonly db: SyncDatabase;
  readonly units: UnitRules;
  readonly rules: IgnoreRules;
  /** Logs every change, so that the next run knows of it if this one is killed. */
  readonly redo: RedoLog;
  /** Proves that a file marked hasty is what the database says. */
  readonly isAsKnown: (path: DiskPath, entry: Entry) => Promise<boolean>;
  readonly nowNs: () => bigint;
  /** Whether the folder's own deletions await approval. If so, the scan may already have missed a name that is gone. */
  readonly isHeld: boolean;
  /** Called with each path that was settled. */
  readonly applied?: (path: DiskPath) => void;
}
