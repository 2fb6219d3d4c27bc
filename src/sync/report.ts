/** What a round came to, for people and programs. */
import { nameToText } from "../base/names.ts";
import type { Conflict } from "../fstree/merge/conflict.ts";
import type { SyncDatabase } from "./known/database.ts";
import type { Entry } from "./known/entry.ts";
import { pathInFolder } from "./known/path-in-folder.ts";
import type { Reason } from "./known/unsettled.ts";
import type { DiskPath } from "./disk/disk.ts";
import type { HeldDeletions } from "./deletion-limit.ts";
import type { LocalChange } from "./scan/local-changes.ts";
import { pathText } from "./disk/paths.ts";
import type { RoundResult } from "./round-result.ts";

/** One thing that a round does, or would do. */
export interface PlannedDeed {
  readonly where: "bucket" | "folder";
  readonly what: "add" | "change" | "move" | "delete";
  readonly path: string;
  /** Where it was before, of what is moved. */
  readonly from?: string;
}

export interface SyncReport {
  readonly root: string;
  /** To the bucket: objects by what became of them. */
  readonly sent: { readonly added: number; readonly changed: number; readonly moved: number; readonly deleted: number };
  /** To the folder. */
  readonly received: { readonly files: number; readonly removed: number };
  readonly conflicts: readonly string[];
  /** Deletions that wait for approval; programs that read reports know them by this name. */
  readonly guard: HeldDeletions | null;
  /** Where the folder is not as the bucket, and why; and what of it is not in the bucket. */
  readonly left: readonly { readonly path: string; readonly why: Reason | NotSent }[];
}

export type NotSent = "keeps changing" | "special file" | "another filesystem" | "cannot be read";

export function reportOf(rounds: readonly RoundResult[]): SyncReport | undefined {
  const last = rounds.at(-1);
  if (last === undefined) return undefined;
  const count = (deed: LocalChange["deed"]) =>
    sum(rounds, ({ local }) => local.filter((each) => each.deed === deed).length);
  const { special, mounts, unreadable } = last.notSynced;
  const tell = (paths: readonly DiskPath[], why: NotSent) => paths.map((path) => ({ path: pathText(path), why }));
  const waiting = [...last.plan.left, ...last.applied.left];
  return {
    root: last.root,
    sent: {
      added: count("added") + sum(rounds, ({ added }) => added),
      changed: count("changed"),
      moved: count("moved"),
      deleted: count("deleted"),
    },
    received: {
      files: sum(rounds, ({ applied }) => applied.files),
      removed: sum(rounds, ({ applied }) => applied.removed),
    },
    conflicts: rounds.flatMap(({ conflicts }) => conflicts.map(conflictPath)),
    guard: last.held ?? null,
    left: [
      ...waiting.map(({ path, reason }) => ({ path: pathText(path), why: reason })),
      ...tell(last.restless, "keeps changing"),
      ...tell(special, "special file"),
      ...tell(mounts, "another filesystem"),
      ...tell(unreadable, "cannot be read"),
    ],
  };
}

/** Whether something that was saved in the folder is not in the bucket yet. */
export function isUnpublished({ left }: SyncReport): boolean {
  return left.some(isNotSent);
}

/** Whether what is left is somebody's here, and not in the bucket. */
export function isNotSent({ why }: SyncReport["left"][number]): boolean {
  return why === "keeps changing" || why === "cannot be read" || why === "changed here";
}

/** What a rehearsal found, in the order in which it would be done, with the database as it is when nothing of that was. */
export function deedsOf({ local, plan }: RoundResult, db: SyncDatabase): PlannedDeed[] {
  const before = ([entry]: readonly Entry[]) => pathText((entry && pathInFolder(db, entry)) ?? []);
  const sent = local.map(({ object: { found, entries }, deed }) => ({
    where: "bucket" as const,
    what: VERBS[deed],
    path: found[0] === undefined ? before(entries) : pathText(found[0].path),
    ...(deed === "moved" && { from: before(entries) }),
  }));
  const puts = plan.puts.map(({ what, path, target }) => ({
    where: "folder" as const,
    what,
    path: pathText(path),
    ...(what === "move" && { from: before(db.byId(target.id)) }),
  }));
  const removals = plan.removals.map(({ path }) => {
    return { where: "folder" as const, what: "delete" as const, path: pathText(path) };
  });
  return [...sent, ...puts, ...removals];
}

const VERBS = { added: "add", changed: "change", moved: "move", deleted: "delete" } as const;

function conflictPath({ names }: Conflict): string {
  return names.kept.map(nameToText).join("/");
}

function sum(rounds: readonly RoundResult[], count: (round: RoundResult) => number): number {
  return rounds.reduce((total, round) => total + count(round), 0);
}
