/** `syncline unlock`: frees a bucket in a folder from a lock that nobody will give back. */
import { openRemote } from "../bucket/open-remote.ts";
import { addCommand } from "./command.ts";
import type { Program } from "./command.ts";

export function register(program: Program): void {
  addCommand(program, {
    name: "unlock",
    arguments: [["<url>", "the bucket"]],
    summary: "take a bucket's lock from a process on another machine that is gone",
    examples: ["syncline unlock file:///srv/bucket"],
    exits: [6],
    async run({ args, output, runtime }) {
      const { clock, random } = runtime;
      await using remote = openRemote(args[0] ?? "", { clock, random });
      await remote.readGenesis();
      const holder = await remote.breakLock();
      const said = holder === undefined ? "It was not locked." : `Unlocked. It was held by ${holder}.`;
      output.result({ address: remote.address, holder: holder ?? null }, said);
    },
  });
}
