/** `syncline log`: the commits of a bucket, newest first. */
import { canonicalMount, listMountStates, stateRoot } from "../agent/state-dir.ts";
import { log } from "../bucket/history.ts";
import { openReader } from "./bucket-reader.ts";
import { locateBucket } from "./bucket-path.ts";
import { addCommand } from "./command.ts";
import type { Program } from "./command.ts";
import { printBytes, printTime } from "./text.ts";

const DEFAULT_COUNT = 20;

export function register(program: Program): void {
  addCommand(program, {
    name: "log",
    arguments: [["<url|dir>", "a bucket, or where it is mounted"]],
    summary: "show the history of a bucket, newest first",
    options: ["count", "graph"],
    examples: ["syncline log file:///srv/bucket -n 5", "syncline log ~/bucket --json"],
    exits: [4, 5, 6, 8],
    async run({ args, options, output, runtime }) {
      const given = args[0] ?? "";
      const mounted = given.includes("://") ? undefined : addressOfMount(stateRoot(runtime.env, options.state), given);
      const { address } = await locateBucket(runtime, mounted ?? given);
      await using reader = await openReader(runtime, address, undefined);
      let left = options.count ?? DEFAULT_COUNT;
      for await (const { cid, body } of log(reader.bucket, reader.commit)) {
        if (left-- === 0) break;
        const { seq, writer, epoch, timeNs, totals, note } = body;
        const value = { root: cid, seq, writer, epoch, time: printTime(timeNs), totals, note };
        const { files, directories, bytes } = totals;
        const mark = options.graph === true ? "* " : "";
        const held = `${files} files, ${directories} directories, ${printBytes(bytes)}`;
        output.result(
          value,
          `${mark}${cid}  seq ${seq}  ${printTime(timeNs)}  writer ${writer.slice(0, 8)}  ${held}  ${note}`.trimEnd(),
        );
      }
    },
  });
}

/** The bucket that is, or was, mounted at this folder, as its state says. */
function addressOfMount(root: string, directory: string): string | undefined {
  const mount = canonicalMount(directory);
  return listMountStates(root).find(({ facts }) => facts.mount === mount)?.facts.address;
}
