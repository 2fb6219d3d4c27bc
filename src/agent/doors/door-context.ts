/** What every door of an agent stands on. */
import type { Clock } from "../../base/clock.ts";
import type { Ino, WriterId } from "../../base/ids.ts";
import type { Log } from "../../base/log.ts";
import type { ContentConfig } from "../../content/config.ts";
import type { ContentNames } from "../../vfs/content-names.ts";
import type { FileSystem } from "../../vfs/filesystem.ts";
import type { PublishedTrees } from "../../webdav/sync-source.ts";

export interface DoorContext {
  readonly fs: FileSystem;
  /** What it stands on, and what names its files' bytes. */
  readonly vfs: PublishedTrees & ContentNames;
  /** How the bucket cuts files. */
  readonly contentConfig: ContentConfig;
  /** The bucket's. */
  readonly address: string;
  readonly readOnly: boolean;
  /** For what a door keeps over a restart. */
  readonly stateDir: string;
  /** Whose version a conflict copy is; undefined for anything else. Throws BlockMiss. */
  conflictWriter(ino: Ino): WriterId | undefined;
  /** What a writer's machine is called, or the writer's id. */
  machineName(writer: WriterId): Promise<string>;
  readonly clock: Clock;
  readonly log: Log;
  /** A door was closed from outside, as by umount(8): the agent is to end. */
  ended(): void;
}
