/** `syncline unlock`: frees a bucket in a folder from an abandoned lock. */
import { openPacked } from "../../bucket/open-remote.ts";
import { command } from "../command.ts";
import { BUCKET_OPTIONS, writingAccess } from "../master-access.ts";

export const register = command({
  name: "unlock",
  arguments: [["<url>", "the bucket"]],
  summary: "remove the lock that a process left in a bucket's folder, and print who held it",
  options: ["force", ...BUCKET_OPTIONS],
  examples: ["syncline unlock file:///srv/bucket"],
  exits: [4, 6],
  async run(call) {
    const { args, options, output, runtime } = call;
    const { clock, random } = runtime;
    await using remote = await openPacked(args[0] ?? "", { clock, random, access: writingAccess(call) });
    await remote.readGenesis();
    const holder = await remote.breakLock(options.force ?? false);
    const said = holder === undefined ? "The bucket was not locked." : `Unlocked. The lock was held by ${holder}.`;
    output.result({ address: remote.address, holder: holder ?? null }, said);
  },
});
