/** `syncline policy show | set`: a bucket's rules for merging and thinning history, kept in its commits. */
import { requirePublished } from "../../agent/command-writer.ts";
import type { Policy } from "../../format/commits/policy.ts";
import { retentionOf } from "../../format/commits/retention.ts";
import { openReader } from "./bucket-reader.ts";
import { openWriterFor } from "./bucket-writer.ts";
import { addCommand, type Call, type Program } from "../command.ts";
import { BUCKET_OPTIONS, type BucketOption, readingAccess } from "../master-access.ts";
import { changedPolicy, policySettings } from "./policy-settings.ts";
import { noAgent } from "./running-agents.ts";
import { locateTarget, locateToWrite, type TargetPath } from "./target-path.ts";
import { noteOf, printText } from "../terminal/text.ts";

export function register(program: Program): void {
  addCommand(program, {
    name: "policy show",
    arguments: [["<url|dir>", "a bucket, or where it is mounted"]],
    summary: "print a bucket's rules for merging changes and thinning history",
    options: [...BUCKET_OPTIONS],
    examples: ["syncline policy show file:///srv/bucket"],
    exits: [4, 5, 6, 8],
    async run(call) {
      await using reader = await openReader(
        call,
        addressOf(call, await locateTarget(call, call.args[0] ?? "", readingAccess(call))),
        undefined,
      );
      report(call, reader.commit.cid, await reader.bucket.policy(reader.commit));
    },
  });
  addCommand(program, {
    name: "policy set",
    arguments: [
      ["<url|dir>", "a bucket, or where it is mounted"],
      ["<setting...>", "key=value, key+=value, key-=value, or default; `policy show` prints the keys"],
    ],
    summary: "change a bucket's rules, as a new commit",
    options: [...BUCKET_OPTIONS],
    examples: [
      "syncline policy set file:///srv/bucket 'text+=*.tex' 'logs+=*.jsonl'",
      "syncline policy set file:///srv/bucket 'families=*.db,*.sqlite:-wal,-shm,-journal'",
      "syncline policy set file:///srv/bucket keep-all=1h keep-minutes=2d keep-days=3650d",
      "syncline policy set file:///srv/bucket default",
    ],
    exits: [3, 4, 5, 6, 8],
    run: setPolicy,
  });
}

async function setPolicy(call: Call<BucketOption>): Promise<void> {
  const settings = call.args.slice(1);
  const change = changedPolicy(settings);
  await using session = await openWriterFor(call, addressOf(call, await locateToWrite(call, call.args[0] ?? "")));
  const { bucket, writer } = session;
  const note = noteOf(`policy set ${settings.map(printText).join(" ")}`);
  const { root } = requirePublished(await writer.publish(note, { policy: change }));
  report(call, root.commit, await bucket.policy(await bucket.commit(root.commit)));
}

function addressOf({ args: [given = ""] }: Call<BucketOption>, { address, names }: TargetPath): string {
  if (names.length > 0 && !given.includes("://")) throw noAgent(given);
  return address;
}

function report({ output }: Call, root: string, policy: Policy): void {
  const lines = policySettings(policy).map(([key, value]) => `${key}=${value}`);
  output.result({ root, policy: { ...policy, retention: retentionOf(policy) } }, lines.join("\n"));
}
