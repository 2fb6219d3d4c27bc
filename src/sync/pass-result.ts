/** The input of a folder's sync pass, and its result. */
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
import type { LocalChange, NewFileTotals } from "./scan/local-changes.ts";
import type { NotSynced } from "./scan/left-out.ts";
import type { Most } from "./scan/walk.ts";
import type { Waiting } from "./waiting.ts";

export interface PassContext extends Omit<ScanContext, "rules" | "units" | "sent"> {
  readonly names: FolderNames;
  readonly attention: Attention;
  /** The digest of deletions that a person approved here. */
  readonly allowDeletes?: string | undefined;
  /** Paths ignored besides the rules, with everything below them: the agent's own state and keys. */
  readonly hidden?: readonly DiskPath[];
  /** Retries what only a person can settle: in the first pass. */
  readonly again?: boolean;
  /** A person accepts what the bucket's address has, even if it is older than what the folder knows. */
  readonly accept?: boolean;
  readonly progress?: PassProgress;
  readonly portion?: Most;
  /** Collects the garbage of several portions. */
  readonly collect?: () => void;
}

export interface PassProgress {
  /** Called when the scan starts; disposed when it and its preparations are done. */
  looking?(): Disposable;
  /**
   * Called with how much is to be read for the bucket; with very many new files, with their total before the first portion.
   * Empty files do not count.
   */
  readonly sending?: (all: NewFileTotals) => void;
  /** Called with bytes read for the bucket, and whether a file ends with them. */
  sent?(bytes: number, isEnd: boolean): void;
  received?(bytes: number): void;
  applied?(path: DiskPath): void;
  /** Called with the number of objects in a scan. */
  found?(things: number): void;
  /** Called with what waits to be published, and how long counting it took. */
  waiting?(waiting: Waiting, tookMs: number): void;
  /** Whether waiting work is counted even while the bucket is out of reach. */
  mayCount?(): boolean;
  /** Called with the number of paths about to be written or removed, if any. */
  applying?(places: number): void;
}

export interface PassResult {
  /** What was sent to the bucket. */
  readonly local: readonly LocalChange[];
  /** New objects sent before that, in portions. */
  readonly added: number;
  readonly conflicts: readonly Conflict[];
  readonly applied: Applied;
  /** The folder's base. */
  readonly root: Cid;
  /** Deletions that await approval; everything else was synced. */
  readonly held: HeldDeletions | undefined;
  /** Whether the ignore rules have changed: new ones came, or someone wrote them during the pass. */
  readonly hasNewRules: boolean;
  /** Files that kept changing. */
  readonly unstable: readonly DiskPath[];
  /** The plan for the folder; `left` are places where folder and bucket still differ, and why. */
  readonly plan: Plan;
  /** What is not in the bucket: files that kept changing, or cannot be read. */
  readonly unsent: Waiting;
  /** How long the scan took, without reading files. */
  readonly scanMs: number;
  readonly notSynced: NotSynced;
  readonly figures: PublishFigures | undefined;
}
