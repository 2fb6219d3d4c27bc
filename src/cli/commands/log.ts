/** `syncline log`: the commits of a bucket, newest first. */
import { unless } from "../../base/unless.ts";
import { timeText } from "../../base/clock.ts";
import { SynclineError } from "../../base/errors.ts";
import type { VerifiedCommit } from "../../bucket/verified-commit.ts";
import { countChanges, type ChangeCounts } from "../../bucket/change-counts.ts";
import { type Gap, history, isGap } from "../../bucket/history.ts";
import { isGone } from "../../blocks/not-found.ts";
import { pathHistory, type PathChange } from "../../bucket/path-history.ts";
import type { Path } from "../../bucket/writer.ts";
import type { CommitBody } from "../../format/commits/commit-body.ts";
import { type BucketReader, openReader } from "./bucket-reader.ts";
import { command } from "../command.ts";
import { type GraphCommit, graphRows } from "./log-graph.ts";
import { BUCKET_OPTIONS, readingAccess } from "../master-access.ts";
import { pathText } from "./conflict-report.ts";
import type { Output } from "../terminal/output.ts";
import type { Look } from "../terminal/paint.ts";
import { locateTarget } from "./target-path.ts";
import { exactTime, printBytes, printCount, printPath, printText } from "../terminal/text.ts";

const DEFAULT_COUNT = 20;
/** Hex digits that distinguish writers here. */
const SHORT_ID = 8;

export const register = command({
  name: "log",
  arguments: [["<path>", "a bucket, a mount, a synced folder, or a file in one of them"]],
  summary: "show the history of a bucket, or of one file, newest first",
  options: ["count", "graph", ...BUCKET_OPTIONS],
  examples: [
    "syncline log file:///srv/bucket -n 5",
    "syncline log ~/bucket --graph",
    "syncline log ~/bucket/notes.txt",
  ],
  exits: [4, 5, 6, 8],
  async run(call) {
    const { args, options, output } = call;
    const { address, names } = await locateTarget(call, args[0] ?? "", readingAccess(call));
    if (names.length > 0 && options.graph === true)
      throw new SynclineError("usage", "--graph draws the history of a bucket, not that of a path in it.");
    await using reader = await openReader(call, address, undefined, { stale: true });
    if (names.length > 0) return await showPath(reader, names, options.count ?? DEFAULT_COUNT, output);
    const commits = newest(reader, options.count ?? DEFAULT_COUNT);
    if (options.graph === true) return await drawGraph(reader, commits, output);
    for await (const commit of commits) {
      if (isGap(commit)) {
        showGap(commit, output);
        continue;
      }
      const changes = await changesOf(reader, commit);
      output.result(valueOf(commit, changes), textOf(commit, changes), logLook);
    }
  },
});

/** Highlights the root. */
const logLook: Look = (line, paint) => line.replace(/\bbaf[a-z2-7]{20,}/, (root) => paint("yellow", root));

async function* newest({ bucket, commit }: BucketReader, count: number): AsyncGenerator<VerifiedCommit | Gap> {
  let left = count;
  for await (const each of history(bucket, commit)) {
    yield each;
    if (--left === 0) return;
  }
}

/** The root is null where older roots are not listed. */
function showGap({ lost, seq }: Gap, output: Output): void {
  const what = lost === undefined ? `roots up to seq ${seq}  not listed` : `${lost}  seq ${seq}  lost or damaged`;
  output.result({ root: lost ?? null, seq, lost: true, hint: REPAIR }, `${what}  (${REPAIR})`, logLook);
}

const REPAIR = "`syncline verify --repair` may bring this back.";

/** The history of one path. Throws `no_such_path` if no retained root ever had it. */
async function showPath({ bucket, nodes, commit }: BucketReader, path: Path, count: number, output: Output) {
  let shown = 0;
  let gaps = 0;
  for await (const change of pathHistory(bucket, nodes, commit, path)) {
    if (isGap(change)) {
      showGap(change, output);
      gaps++;
      continue;
    }
    output.result(valueOfChange(change), textOfChange(change), logLook);
    if (++shown === count) return;
  }
  if (shown > 0) return;
  if (gaps > 0)
    throw new SynclineError("block_not_found", `No root that can be read has anything named ${printPath(path)}.`, {
      hint: "Run `syncline verify --repair`: it may bring lost roots back.",
    });
  throw new SynclineError("no_such_path", `The bucket's history has nothing named ${printPath(path)}.`, {
    hint: "`syncline ls` shows what exists now. Retention thins old commits, so files removed long ago may be gone.",
  });
}

function valueOfChange({ commit: { cid, body }, kind, path, from, record }: PathChange) {
  const { seq, writer, machine, timeNs } = body;
  return {
    root: cid,
    seq,
    writer,
    machine: machine ?? null,
    time: timeText(timeNs),
    change: kind,
    path: pathText(path),
    from: from === undefined ? null : pathText(from),
    size: record?.size ?? null,
    mtime: record === undefined ? null : exactTime(record.mtimeNs),
  };
}

function textOfChange({ commit: { cid, body }, kind, path, from, record }: PathChange): string {
  const what = from === undefined ? kind : `moved from ${printPath(from)}`;
  const size = record === undefined ? [] : [printBytes(record.size)];
  return [cid, `seq ${body.seq}`, timeText(body.timeNs), whoMade(body), printPath(path), what, ...size].join("  ");
}

/** The machine, if a commit names it, and the writer's short id. */
function whoMade({ machine, writer }: CommitBody): string {
  const short = writer.slice(0, SHORT_ID);
  return machine === undefined ? `writer ${short}` : `${printText(machine)} (writer ${short})`;
}

/** A column's end is known only after all commits are read. */
async function drawGraph(
  reader: BucketReader,
  history: AsyncIterable<VerifiedCommit | Gap>,
  output: Output,
): Promise<void> {
  const commits: VerifiedCommit[] = [];
  const gaps: Gap[] = [];
  for await (const item of history)
    if (isGap(item)) gaps.push(item);
    else commits.push(item);
  const included: GraphCommit[] = [];
  for (const { body } of commits) included.push({ body, heads: await reader.bucket.heads.all(body) });
  const rows = graphRows(included);
  const width = Math.max(...rows.map(({ lanes }) => lanes.length));
  for (const [index, commit] of commits.entries()) {
    const changes = await changesOf(reader, commit);
    const { lanes = "", takesIn = [] } = rows[index] ?? {};
    const taken = takesIn.map(({ writer, epoch }) => `${writer.slice(0, SHORT_ID)} epoch ${epoch}`).join(", ");
    const text = [lanes.padEnd(width), textOf(commit, changes), ...(taken === "" ? [] : [`takes in ${taken}`])];
    output.result({ ...valueOf(commit, changes), lanes, takesIn }, text.join("  "), logLook);
  }
  for (const gap of gaps) showGap(gap, output);
}

/** Undefined for the first commit, and if the previous one is not retained, or is lost. */
async function changesOf({ bucket, nodes }: BucketReader, { body }: VerifiedCommit): Promise<ChangeCounts | undefined> {
  const { parent, tree } = body;
  if (parent === undefined) return undefined;
  return unless(isGone, async () => countChanges(nodes, (await bucket.commit(parent)).body.tree, tree));
}

function valueOf({ cid, body }: VerifiedCommit, changes: ChangeCounts | undefined) {
  const { seq, writer, machine, epoch, timeNs, totals, note } = body;
  return {
    root: cid,
    seq,
    writer,
    machine: machine ?? null,
    epoch,
    time: timeText(timeNs),
    totals,
    changes: changes ?? null,
    note,
  };
}

function textOf({ cid, body }: VerifiedCommit, changes: ChangeCounts | undefined): string {
  const { seq, timeNs, totals, note } = body;
  const held = `${printCount(totals.files, "file")}, ${printCount(totals.directories, "directory", "directories")}, ${printBytes(totals.bytes)}`;
  const parts = [cid, `seq ${seq}`, timeText(timeNs), whoMade(body), held];
  if (changes !== undefined) {
    const { added, changed, removed, complete } = changes;
    parts.push(`${complete ? "" : "at least "}+${added} ~${changed} -${removed}`);
  }
  return [...parts, printText(note)].join("  ").trimEnd();
}
