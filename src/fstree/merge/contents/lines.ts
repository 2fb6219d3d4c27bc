/** Three-way merge of lists of lines: both sides' changes are combined if an unchanged line separates them. */
import { differingRuns } from "./line-diff.ts";

/** A run of the base's lines [start, end) that one side replaced. */
interface Hunk {
  readonly start: number;
  readonly end: number;
  readonly lines: readonly string[];
  readonly side: "winner" | "loser" | "both";
}

/** The lines of both sides' changes, or undefined when hunks of different sides touch. */
export function mergeLines(
  base: readonly string[],
  winner: readonly string[],
  loser: readonly string[],
): string[] | undefined {
  const winners = hunksOf(base, winner, "winner");
  const losers = hunksOf(base, loser, "loser");
  const hunks = joinEqual([...winners, ...losers].sort((a, b) => a.start - b.start || a.end - b.end));
  const merged: string[] = [];
  let at = 0;
  let last: Hunk | undefined;
  for (const hunk of hunks) {
    if (last !== undefined && last.side !== hunk.side && hunk.start <= last.end) return undefined;
    append(merged, base.slice(at, hunk.start));
    append(merged, hunk.lines);
    at = hunk.end;
    last = hunk;
  }
  append(merged, base.slice(at));
  return merged;
}

function hunksOf(base: readonly string[], side: readonly string[], name: "winner" | "loser"): Hunk[] {
  return differingRuns(base, side).map(({ start, end, from, to }) => {
    return { start, end, lines: side.slice(from, to), side: name };
  });
}

/** A hunk that both sides made counts once. */
function joinEqual(hunks: readonly Hunk[]): Hunk[] {
  const joined: Hunk[] = [];
  for (const hunk of hunks) {
    const last = joined.at(-1);
    if (last !== undefined && last.side !== hunk.side && sameHunk(last, hunk))
      joined[joined.length - 1] = { ...last, side: "both" };
    else joined.push(hunk);
  }
  return joined;
}

function sameHunk(a: Hunk, b: Hunk): boolean {
  if (a.start !== b.start || a.end !== b.end || a.lines.length !== b.lines.length) return false;
  return a.lines.every((line, index) => line === b.lines[index]);
}

function append(lines: string[], more: readonly string[]): void {
  for (const line of more) lines.push(line);
}
