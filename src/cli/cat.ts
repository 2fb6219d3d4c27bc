/** `syncline cat`: a file's bytes on stdout, without a mount. */
import { SynclineError } from "../base/errors.ts";
import { streamContent } from "../content/read.ts";
import { locateBucket } from "./bucket-path.ts";
import { findObject, openReader } from "./bucket-reader.ts";
import { addCommand } from "./command.ts";
import type { Program } from "./command.ts";
import { printPath } from "./text.ts";

export function register(program: Program): void {
  addCommand(program, {
    name: "cat",
    arguments: [["<url>", "bucket/path of a file"]],
    summary: "print a file of a bucket, without a mount",
    options: ["at"],
    examples: ["syncline cat file:///srv/bucket/notes.txt", "syncline cat file:///srv/bucket/a.tar | tar t"],
    exits: [5, 6, 8],
    async run({ args, options, output, runtime }) {
      const path = await locateBucket(runtime, args[0] ?? "");
      await using reader = await openReader(runtime, path.address, options.at);
      const { record } = await findObject(reader, path);
      if (record.type !== "file") {
        throw new SynclineError("is_a_directory", `${printPath(path.names)} is a ${record.type}, not a file.`);
      }
      for await (const bytes of streamContent(reader.content, record.content, record.size)) await output.bytes(bytes);
    },
  });
}
