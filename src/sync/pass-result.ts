/** What a pass of a folder's sync is given, and what it came to. */
import type { Cid } from "../base/ids.ts";
import type { Conflict } from "../fstree/merge/conflict.ts";
import type { PublishFigures } from "../bucket/publish/outcome.ts";
import type { Applied } from "./apply/apply.ts";
import type { Plan } from "./apply/plan.ts";
import type { HeldDeletions } from "./deletion-limit.ts";
import type { DiskPath } from "./disk/disk.ts";
import type { FolderNames } from "./known/marker.ts";
import type { ScanContext } from "./publish/publish-scan.ts";
import type { Attention } from "./scan/attributes.ts";
import type { LocalChange, NewFiles } from "./scan/local-changes.ts";
import type { Most, Walked } from "./scan/walk.ts";
import type { Waiting } from "./waiting.ts";

export interface PassContext extends Omit<ScanContext, "sent"> {
  readonly names: FolderNames;
  readonly attention: Attention;
  /** The digest of deletions that a person approved here. */
  readonly allowDeletes?: string | undefined;
  /** What of the folder is left alone besides what its rules name, with all in it: the agent's own state and keys. */
  readonly hidden?: readonly DiskPath[];
  /** Looks again at what only somebody's action can settle: in the first pass. */
  readonly again?: boolean;
  /** A person accepts what lies at the address, also where it is older than what the folder knows. */
  readonly accept?: boolean;
  readonly progress?: PassProgress;
  readonly portion?: Most;
  /** Collects what is garbage of some portions. */
  readonly collect?: () => void;
}

export interface PassProgress {
  /** Called when the folder is looked through; disposed once that and what goes before it is done. */
  looking?(): Disposable;
  /** Told how much is to be read for the bucket; of very much that is new all of it, before the first portion. Files that are empty do not count. */
  readonly sending?: (all: NewFiles) => void;
  /** Told of bytes that were read for the bucket, and whether a file ends with them. */
  sent?(bytes: number, isEnd: boolean): void;
  received?(bytes: number): void;
  applied?(path: DiskPath): void;
  /** Told how many things in the folder a scan has to do with. */
  found?(things: number): void;
  /** Told what waits to be published, once that was counted, and how long counting took. */
  waiting?(waiting: Waiting, tookMs: number): void;
  /** Whether waiting work is counted even while the bucket is out of reach. */
  mayCount?(): boolean;
  /** Told how many places are about to be written or removed, if any. */
  applying?(places: number): void;
}

export interface PassResult {
  /** What went to the bucket. */
  readonly local: readonly LocalChange[];
  /** New objects that went before it in portions. */
  readonly added: number;
  readonly conflicts: readonly Conflict[];
  readonly applied: Applied;
  /** The root that the folder stands on. */
  readonly root: Cid;
  /** Deletions that wait for approval; all else went and came. */
  readonly held: HeldDeletions | undefined;
  /** Whether the rules of what is left alone are others by now: they came, or somebody wrote them meanwhile. */
  readonly hasNewRules: boolean;
  /** Files that did not hold still. */
  readonly unstable: readonly DiskPath[];
  /** What was to be done in the folder; its `left` are places where the folder stays otherwise than the bucket, and why. */
  readonly plan: Plan;
  /** What of the folder is not in the bucket: it did not hold still, or cannot be read. */
  readonly unsent: Waiting;
  /** How long it took to look at the folder, without reading files. */
  readonly scanMs: number;
  readonly notSynced: Pick<Walked, "special" | "mounts" | "unreadable">;
  readonly figures: PublishFigures | undefined;
}
