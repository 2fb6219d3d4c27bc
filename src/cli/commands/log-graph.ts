/** The history as columns, one per writer: who published, and whose epochs each commit took in. */
import type { WriterId } from "../../base/ids.ts";
import type { CommitBody } from "../../format/commits/commit-body.ts";
import type { Heads } from "../../format/commits/heads.ts";

export interface GraphRow {
  /** "* | " with a star in the writer's column, and a line for writers with commits before and after. */
  readonly lanes: string;
  /** Others' newest epochs that this commit includes and its writer's previous commit did not. */
  readonly takesIn: readonly { readonly writer: WriterId; readonly epoch: number }[];
}

/** A commit, and all that it includes. */
export interface GraphCommit {
  readonly body: Pick<CommitBody, "writer">;
  readonly heads: Heads;
}

/**
 * A row per commit, newest first as given. History is a single line; parallel columns show what writers did between their
 * commits, and the heads tell when one learned of another. A writer's oldest commit here gets no such information.
 */
export function graphRows(commits: readonly GraphCommit[]): GraphRow[] {
  const spans = spansOf(commits);
  const older = new Map<WriterId, Heads>();
  const rows: GraphRow[] = [];
  for (let row = commits.length - 1; row >= 0; row--) {
    const commit = commits[row];
    if (commit === undefined) continue;
    const { body, heads } = commit;
    const marks = [...spans].map(([writer, { first, last }]) => {
      return writer === body.writer ? "*" : first < row && row < last ? "|" : " ";
    });
    rows.push({ lanes: marks.join(" ").trimEnd(), takesIn: newHeads(body.writer, older.get(body.writer), heads) });
    older.set(body.writer, heads);
  }
  return rows.reverse();
}

interface Span {
  readonly first: number;
  readonly last: number;
}

/** From each writer's first row to its last, in order of appearance. */
function spansOf(commits: readonly GraphCommit[]): Map<WriterId, Span> {
  const spans = new Map<WriterId, Span>();
  for (const [row, { body }] of commits.entries())
    spans.set(body.writer, { first: spans.get(body.writer)?.first ?? row, last: row });
  return spans;
}

function newHeads(own: WriterId, before: Heads | undefined, heads: Heads): GraphRow["takesIn"] {
  if (before === undefined) return [];
  return [...heads]
    .filter(([writer, epoch]) => writer !== own && epoch > (before.get(writer) ?? 0))
    .map(([writer, epoch]) => ({ writer, epoch }));
}
