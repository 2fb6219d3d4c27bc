/** `syncline log`: the commits of a bucket, newest first. */
import { timeText } from "../base/clock.ts";
import { hasCode } from "../base/errors.ts";
import type { VerifiedCommit } from "../bucket/bucket.ts";
import { countChanges, type ChangeCounts } from "../bucket/change-counts.ts";
import { log } from "../bucket/history.ts";
import { openReader } from "./bucket-reader.ts";
import type { BucketReader } from "./bucket-reader.ts";
import { locateBucket } from "./bucket-path.ts";
import { addCommand } from "./command.ts";
import type { Program } from "./command.ts";
import { graphRows } from "./log-graph.ts";
import { MASTER_OPTIONS } from "./master-access.ts";
import type { Output } from "./output.ts";
import { mountStates, noAgent, servedStates } from "./running-agents.ts";
import type { Runtime } from "./runtime.ts";
import { printBytes, printCount, printText } from "./text.ts";

const DEFAULT_COUNT = 20;
/** Hex digits by which a writer is told from others here. */
const SHORT_ID = 8;

export function register(program: Program): void {
  addCommand(program, {
    name: "log",
    arguments: [["<url|dir>", "a bucket, or where it is mounted"]],
    summary: "show the history of a bucket, newest first",
    options: ["count", "graph", ...MASTER_OPTIONS],
    examples: ["syncline log file:///srv/bucket -n 5", "syncline log ~/bucket --json", "syncline log ~/bucket --graph"],
    exits: [4, 5, 6, 8],
    async run(call) {
      const { args, options, output, runtime } = call;
      const given = args[0] ?? "";
      const url = given.includes("://") ? given : await addressOfMount(runtime, options.state, given);
      const { address } = await locateBucket(runtime, url);
      await using reader = await openReader(call, address, undefined);
      const commits = newest(reader, options.count ?? DEFAULT_COUNT);
      if (options.graph === true) return await drawGraph(reader, commits, output);
      for await (const commit of commits) {
        const changes = await changesOf(reader, commit);
        output.result(valueOf(commit, changes), textOf(commit, changes));
      }
    },
  });
}

async function* newest({ bucket, commit }: BucketReader, count: number): AsyncGenerator<VerifiedCommit> {
  let left = count;
  for await (const each of log(bucket, commit)) {
    yield each;
    if (--left === 0) return;
  }
}

/** Where a column ends is known only when all commits are. */
async function drawGraph(reader: BucketReader, history: AsyncIterable<VerifiedCommit>, output: Output): Promise<void> {
  const commits: VerifiedCommit[] = [];
  for await (const commit of history) commits.push(commit);
  const rows = graphRows(commits);
  const width = Math.max(...rows.map(({ lanes }) => lanes.length));
  for (const [index, commit] of commits.entries()) {
    const changes = await changesOf(reader, commit);
    const { lanes = "", takesIn = [] } = rows[index] ?? {};
    const taken = takesIn.map(({ writer, epoch }) => `${writer.slice(0, SHORT_ID)} epoch ${epoch}`).join(", ");
    const text = [lanes.padEnd(width), textOf(commit, changes), ...(taken === "" ? [] : [`takes in ${taken}`])];
    output.result({ ...valueOf(commit, changes), lanes, takesIn }, text.join("  "));
  }
}

/** The bucket that is, or was, mounted at this folder, as its state says. */
async function addressOfMount(runtime: Runtime, state: string | undefined, directory: string): Promise<string> {
  const states = mountStates(runtime, state, directory);
  const [found] = [...(await servedStates(runtime, states)), ...states];
  if (found === undefined) throw noAgent(directory);
  return found.address;
}

/** Undefined for the first commit, and where the one before is not kept any more. */
async function changesOf({ bucket, nodes }: BucketReader, { body }: VerifiedCommit): Promise<ChangeCounts | undefined> {
  if (body.parent === undefined) return undefined;
  try {
    const before = await bucket.commit(body.parent);
    return await countChanges(nodes, before.body.tree, body.tree);
  } catch (error) {
    if (hasCode(error, "block_not_found")) return undefined;
    throw error;
  }
}

function valueOf({ cid, body }: VerifiedCommit, changes: ChangeCounts | undefined) {
  const { seq, writer, epoch, timeNs, totals, note } = body;
  return { root: cid, seq, writer, epoch, time: timeText(timeNs), totals, changes: changes ?? null, note };
}

function textOf({ cid, body }: VerifiedCommit, changes: ChangeCounts | undefined): string {
  const { seq, writer, timeNs, totals, note } = body;
  const held = `${printCount(totals.files, "file")}, ${printCount(totals.directories, "directory", "directories")}, ${printBytes(totals.bytes)}`;
  const parts = [cid, `seq ${seq}`, timeText(timeNs), `writer ${writer.slice(0, SHORT_ID)}`, held];
  if (changes !== undefined) {
    const { added, changed, removed, complete } = changes;
    parts.push(`${complete ? "" : "at least "}+${added} ~${changed} -${removed}`);
  }
  return [...parts, printText(note)].join("  ").trimEnd();
}
