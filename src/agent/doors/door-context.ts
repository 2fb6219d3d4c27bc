/** What every door of an agent works with, and what it offers once it is open. */
import type { Ino, WriterId } from "../../base/ids.ts";
import type { Ports } from "../../base/ports.ts";
import type { ContentConfig } from "../../content/config.ts";
import type { IndexRule } from "../../fuse/index-programs.ts";
import type { ContentNames } from "../../vfs/content-names.ts";
import type { FileSystem, Invalidations } from "../../vfs/filesystem.ts";
import type { HistoryFs } from "../../vfs/history/history-fs.ts";
import type { PublishedTrees } from "../../webdav/sync-source.ts";
import type { WorkerSetup } from "../threads/threads.ts";
import type { DoorReport } from "./doors.ts";

export interface DoorContext
  extends Pick<Ports, "clock" | "log">, Pick<WorkerSetup, "address" | "readOnly" | "stateDir" | "supervision"> {
  readonly fs: FileSystem;
  /** The published trees, and the names of files' contents. */
  readonly vfs: PublishedTrees & ContentNames;
  /** How the bucket splits files into chunks. */
  readonly contentConfig: ContentConfig;
  /** `fs` with a hidden `.history` in every directory. `oneOwner`: the mount shows one owner for everything. */
  withHistory(fs: FileSystem, oneOwner: boolean): HistoryFs;
  /** The writer of a conflict copy's version; undefined for other objects. Throws BlockMiss. */
  conflictWriter(ino: Ino): WriterId | undefined;
  /** The name of a writer's machine, or the writer's id. */
  machineName(writer: WriterId): Promise<string>;
  /** Limits what index programs may fetch. */
  readonly indexing: Omit<IndexRule, "names">;
  /** A door was closed from outside, as by umount(8): ends the agent. */
  ended(): void;
}

export interface OpenDoor {
  readonly report: DoorReport;
  /** Whether a new process could take over this door. Absent: its clients reconnect by themselves. */
  isReplaceable?(): boolean;
  /** Tells the door what others changed. Absent for doors without caches. */
  invalidate?(changes: Invalidations): void;
  /** The filesystem may show another root. */
  moved?(): void;
  /** Finishes pending work. Throws `mount_busy` and stays open, unless `lazy`. */
  leave(lazy: boolean): Promise<void>;
  /** Closes the door now. */
  close(): Promise<void>;
}
