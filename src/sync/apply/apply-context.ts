/** What it takes to put the bucket's objects into the folder. */
import type { SyncDatabase } from "../known/database.ts";
import type { DiskPath } from "../disk/disk.ts";
import type { Entry } from "../known/entry.ts";
import type { IncomingContext } from "./incoming.ts";
import type { RedoLog } from "./redo-log.ts";

export interface ApplyContext extends IncomingContext {
  readonly db: SyncDatabase;
  /** Of all that is done: what the next run is to know if this one is killed. */
  readonly redo: RedoLog;
  /** Proves that a file that was looked at in haste is what the database says. */
  readonly isAsKnown: (path: DiskPath, entry: Entry) => Promise<boolean>;
  readonly nowNs: () => bigint;
  /** Told of each place that was settled. */
  readonly applied?: (path: DiskPath) => void;
}
