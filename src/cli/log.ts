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
import { MASTER_OPTIONS } from "./master-access.ts";
import { mountStates, noAgent, servedStates } from "./running-agents.ts";
import type { Runtime } from "./runtime.ts";
import { printBytes, printCount, printText } from "./text.ts";

const DEFAULT_COUNT = 20;

export function register(program: Program): void {
  addCommand(program, {
    name: "log",
    arguments: [["<url|dir>", "a bucket, or where it is mounted"]],
    summary: "show the history of a bucket, newest first",
    options: ["count", "graph", ...MASTER_OPTIONS],
    examples: ["syncline log file:///srv/bucket -n 5", "syncline log ~/bucket --json"],
    exits: [4, 5, 6, 8],
    async run(call) {
      const { args, options, output, runtime } = call;
      const given = args[0] ?? "";
      const url = given.includes("://") ? given : await addressOfMount(runtime, options.state, given);
      const { address } = await locateBucket(runtime, url);
      await using reader = await openReader(call, address, undefined);
      let left = options.count ?? DEFAULT_COUNT;
      for await (const commit of log(reader.bucket, reader.commit)) {
        if (left-- === 0) break;
        const changes = await changesOf(reader, commit);
        output.result(valueOf(commit, changes), `${options.graph === true ? "* " : ""}${textOf(commit, changes)}`);
      }
    },
  });
}

/** The bucket that is, or was, mounted at this folder, as its state says. */
async function addressOfMount(runtime: Runtime, state: string | undefined, directory: string): Promise<string> {
  const states = mountStates(runtime, state, directory);
  const [found] = [...(await servedStates(states)), ...states];
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
  const parts = [cid, `seq ${seq}`, timeText(timeNs), `writer ${writer.slice(0, 8)}`, held];
  if (changes !== undefined) {
    const { added, changed, removed, complete } = changes;
    parts.push(`${complete ? "" : "at least "}+${added} ~${changed} -${removed}`);
  }
  return [...parts, printText(note)].join("  ").trimEnd();
}
