/** `syncline cat`: a file's bytes on stdout, without a mount. */
import { countBuffers } from "../../runtime/memory.ts";
import { locateBucket } from "./bucket-path.ts";
import { fileBytes, findObject, openReader } from "./bucket-reader.ts";
import { command } from "../command.ts";
import { BUCKET_OPTIONS, readingAccess } from "../master-access.ts";

export const register = command({
  name: "cat",
  arguments: [["<url>", "bucket/path of a file"]],
  summary: "print a file from a bucket, without a mount",
  options: ["at", ...BUCKET_OPTIONS],
  examples: ["syncline cat file:///srv/bucket/notes.txt"],
  exits: [4, 5, 6, 8],
  async run(call) {
    const { args, options, output } = call;
    const path = await locateBucket(call, args[0] ?? "", readingAccess(call));
    await using reader = await openReader(call, path.address, options.at, { stale: true });
    const object = await findObject(reader, path);
    countBuffers();
    for await (const bytes of fileBytes(reader, object, path)) await output.bytes(bytes);
  },
});
