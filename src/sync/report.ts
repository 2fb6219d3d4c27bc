/** The result of a pass, for people and programs. */
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
import type { LeftReason } from "./scan/left-out.ts";
import type { PassResult } from "./pass-result.ts";

/** One action that a pass does, or would do. */
export interface PlannedAction {
  readonly where: "bucket" | "folder";
  readonly what: "add" | "change" | "move" | "delete";
  readonly path: string;
  /** The old path of a moved object. */
  readonly from?: string;
}

export interface SyncReport {
  readonly root: string;
  /** To the bucket: numbers of objects. */
  readonly sent: { readonly added: number; readonly changed: number; readonly moved: number; readonly deleted: number };
  /** To the folder. */
  readonly received: { readonly files: number; readonly removed: number };
  readonly conflicts: readonly string[];
  /** Deletions that await approval. Programs know the field by this name. */
  readonly guard: HeldDeletions | null;
  /** Where folder and bucket differ, and why; includes what is not in the bucket. */
  readonly left: readonly { readonly path: string; readonly why: Reason | NotSent }[];
}

export type NotSent = LeftReason | "special file" | "another filesystem" | "synced by itself";

export function reportOf(passes: readonly PassResult[]): SyncReport | undefined {
  const last = passes.at(-1);
  if (last === undefined) return undefined;
  const count = (action: LocalChange["action"]) =>
    sum(passes, ({ local }) => local.filter((each) => each.action === action).length);
  const { special, mounts, apart, unreadable, longNames, tooLarge } = last.notSynced;
  const tell = (paths: readonly DiskPath[], why: NotSent) => paths.map((path) => ({ path: pathText(path), why }));
  const waiting = [...last.plan.left, ...last.applied.left];
  return {
    root: last.root,
    sent: {
      added: count("added") + sum(passes, ({ added }) => added),
      changed: count("changed"),
      moved: count("moved"),
      deleted: count("deleted"),
    },
    received: {
      files: sum(passes, ({ applied }) => applied.files),
      removed: sum(passes, ({ applied }) => applied.removed),
    },
    conflicts: passes.flatMap(({ conflicts }) => conflicts.map(conflictPath)),
    guard: last.held ?? null,
    left: [
      ...waiting.map(({ path, reason }) => ({ path: pathText(path), why: reason })),
      ...tell(last.unstable, "keeps changing"),
      ...tell(special, "special file"),
      ...tell(mounts, "another filesystem"),
      ...tell(apart, "synced by itself"),
      ...tell(unreadable, "cannot be read"),
      ...tell(longNames, "name too long"),
      ...tell(tooLarge, "too large"),
    ],
  };
}

/** Whether something saved in the folder is not in the bucket yet. */
export function isUnpublished({ left }: SyncReport): boolean {
  return left.some(isNotSent);
}

/** Whether a place that is left holds someone's data here that is not in the bucket. */
export function isNotSent({ why }: SyncReport["left"][number]): boolean {
  return NOT_SENT.has(why);
}

const NOT_SENT: ReadonlySet<string> = new Set<Reason | NotSent>([
  "changed here",
  "keeps changing",
  "cannot be read",
  "name too long",
  "too large",
]);

/** A dry run's actions in order. The database is as if none of them were done. */
export function actionsOf({ local, plan }: PassResult, db: SyncDatabase): PlannedAction[] {
  const before = ([entry]: readonly Entry[]) => pathText((entry && pathInFolder(db, entry)) ?? []);
  const sent = local.map(({ object: { found, entries }, action }) => ({
    where: "bucket" as const,
    what: VERBS[action],
    path: found[0] === undefined ? before(entries) : pathText(found[0].path),
    ...(action === "moved" && { from: before(entries) }),
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

function sum(passes: readonly PassResult[], count: (pass: PassResult) => number): number {
  return passes.reduce((total, pass) => total + count(pass), 0);
}
