/** `syncline get`: copies files out of a bucket, without a mount. */
import { stat } from "node:fs/promises";
import { dirname } from "node:path";
import { SynclineError } from "../base/errors.ts";
import { escapeForPrint, nameToBytes } from "../base/names.ts";
import { parseAddress } from "../bucket/address.ts";
import { locateBucket } from "./bucket-path.ts";
import type { BucketPath } from "./bucket-path.ts";
import { fileBytes, findObject, openReader } from "./bucket-reader.ts";
import { addCommand } from "./command.ts";
import type { Program } from "./command.ts";
import { CopyOut } from "./copy-out.ts";
import { BUCKET_OPTIONS } from "./master-access.ts";
import type { Output } from "./output.ts";
import { printBytes, printCount, printPath, printText } from "./text.ts";

export function register(program: Program): void {
  addCommand(program, {
    name: "get",
    arguments: [
      ["<url>", "bucket/path"],
      ["[target]", "file or directory to make; - for stdout; default: the path's last name here"],
    ],
    summary: "copy a file, or with -r a directory, out of a bucket",
    options: ["recursive", "at", ...BUCKET_OPTIONS],
    examples: [
      "syncline get file:///srv/bucket/notes.txt",
      "syncline get -r file:///srv/bucket/photos ./photos",
      "syncline get file:///srv/bucket/a.tar - | tar t",
    ],
    exits: [4, 5, 6, 8],
    async run(call) {
      const { args, options, output, runtime } = call;
      const path = await locateBucket(runtime, args[0] ?? "");
      await using reader = await openReader(call, path.address, options.at);
      const object = await findObject(reader, path);
      if (args[1] === "-") {
        for await (const bytes of fileBytes(reader, object, path)) await output.bytes(bytes);
        return;
      }
      const { type, size } = object.record;
      if (type === "directory" && options.recursive !== true) {
        throw new SynclineError("is_a_directory", `${printPath(path.names) || path.address} is a directory.`, {
          hint: "Add -r to get all of it.",
        });
      }
      const target = await targetOf(args[1], path);
      await requireFolder(dirname(target.toString("utf8")));
      using progress = output.progress("get", "bytes", type === "file" ? size : undefined);
      const copy = new CopyOut(reader, runtime, progress);
      await copy.copy(object, target);
      report(output, copy, target.toString("utf8"));
    },
  });
}

/** As cp does: into a directory that is there, else under the name that was given. */
async function targetOf(given: string | undefined, { names, address }: BucketPath): Promise<Buffer> {
  const last = names.at(-1);
  const name = last === undefined ? Buffer.from(parseAddress(address).name) : nameToBytes(last);
  if (given === undefined) return name;
  const found = await stat(given).catch(() => undefined);
  if (found?.isDirectory() !== true) return Buffer.from(given);
  return Buffer.concat([Buffer.from(given.endsWith("/") ? given : `${given}/`), name]);
}

/** Each file is written beside its place: without this the message would name a file that nobody asked for. */
async function requireFolder(folder: string): Promise<void> {
  const found = await stat(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT") throw error;
  });
  if (found !== undefined) return;
  throw new SynclineError("local_io_failed", `There is no directory ${printText(folder)} to copy into.`, {
    hint: "Make it first: mkdir -p DIR.",
  });
}

function report(output: Output, { files, bytes, skipped, unowned }: CopyOut, target: string): void {
  if (skipped > 0) output.notice(`Left out ${skipped} fifos, sockets and devices.`);
  if (unowned > 0) output.notice(`The owners of ${unowned} files could not be set.`);
  output.result(
    { target, files, bytes, skipped },
    `${printCount(files, "file")}, ${printBytes(bytes)} copied to ${escapeForPrint(target)}`,
  );
}
