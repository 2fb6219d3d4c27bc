/** What a copy leaves out: one object that cannot be copied does not stop the rest. */
import { type ErrorCode, SynclineError } from "../../base/errors.ts";
import { escapeForPrint } from "../../base/names.ts";
import type { DiskPath } from "../../sync/disk/disk.ts";
import { pathText } from "../../sync/disk/paths.ts";

/** The bucket lacks its blocks, the disk cannot hold it, or the disk takes its name for another one's of this copy. */
export type SkipReason = "lost" | "not held" | "collides";

interface Left {
  count: number;
  /** The first of them. */
  readonly paths: DiskPath[];
  readonly cause: unknown;
}

export class LeftOut {
  readonly #left = new Map<SkipReason, Left>();

  add(why: SkipReason, path: DiskPath, cause?: unknown): void {
    const left = this.#left.get(why) ?? { count: 0, paths: [], cause };
    this.#left.set(why, left);
    left.count++;
    if (left.paths.length < MOST_NAMED) left.paths.push(path);
  }

  count(why: SkipReason): number {
    return this.#left.get(why)?.count ?? 0;
  }

  /** Of the worst kind first. */
  errors(): SynclineError[] {
    return WORST_FIRST.flatMap((why) => {
      const left = this.#left.get(why);
      if (left === undefined) return [];
      const { code, message, hint } = MEANINGS[why];
      return [new SynclineError(code, `${message}: ${namesOf(left)}.`, { hint, cause: left.cause })];
    });
  }
}

function namesOf({ count, paths }: Left): string {
  const names = paths.map((path) => escapeForPrint(pathText(path)));
  if (count > names.length) names.push(`${count - names.length} more`);
  return names.join(", ");
}

const WORST_FIRST: readonly SkipReason[] = ["lost", "not held", "collides"];

const MEANINGS: Record<SkipReason, { readonly code: ErrorCode; readonly message: string; readonly hint: string }> = {
  lost: {
    code: "block_not_found",
    message: "The bucket lacks blocks of these files",
    hint: "They were left out. Run `syncline verify --repair` where a cache or synced folder may still hold the blocks.",
  },
  "not held": {
    code: "local_io_failed",
    message: "This disk cannot hold these objects (symlinks, long names, large files)",
    hint: "They were left out. Copy to another disk, or rename them in the bucket.",
  },
  collides: {
    code: "path_exists",
    message: "This disk cannot tell these names from others that were copied (case, Unicode)",
    hint: "They were left out. Rename them in the bucket, or copy to a disk that tells such names apart.",
  },
};

/** Paths of each kind that are named. */
const MOST_NAMED = 10;
