/** `syncline get`: copies files out of a bucket, without a mount. */
import { stat, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { SynclineError } from "../../base/errors.ts";
import type { FileType } from "../../format/files/record.ts";
import type { FileName } from "../../base/ids.ts";
import { escapeForPrint, nameFromText, nameToBytes, nameToText } from "../../base/names.ts";
import { unless } from "../../base/unless.ts";
import { parseAddress } from "../../bucket/address.ts";
import type { TreeObject } from "../../fstree/fs-reader.ts";
import { countBuffers } from "../../runtime/memory.ts";
import { openRealDisk } from "../../sync/disk/real-disk.ts";
import { type BucketPath, locateBucket } from "./bucket-path.ts";
import { type BucketReader, COPY_AHEAD_BYTES, fileBytes, findObject, openReader } from "./bucket-reader.ts";
import { command } from "../command.ts";
import { requireKnownBytes } from "../given-path.ts";
import { CopyOut } from "./copy-out.ts";
import { countBelow } from "./count-below.ts";
import { setModified } from "./file-times.ts";
import { namesOpenFile } from "./open-files.ts";
import { BUCKET_OPTIONS, readingAccess } from "../master-access.ts";
import { refuseOwnTarget } from "./own-storage.ts";
import type { Output } from "../terminal/output.ts";
import type { Amounts } from "../terminal/progress-rate.ts";
import type { Progress } from "../terminal/progress.ts";
import { printBytes, printCount, printPath, printText } from "../terminal/text.ts";

export const register = command({
  name: "get",
  arguments: [
    ["<url>", "bucket/path"],
    ["[target]", "a file or directory; - for stdout; default: the path's last name"],
  ],
  summary: "copy a file, or with -r a directory, out of a bucket",
  options: ["recursive", "at", "special", ...BUCKET_OPTIONS],
  examples: [
    "syncline get file:///srv/bucket/notes.txt",
    "syncline get -r file:///srv/bucket/photos ./photos",
    "syncline get file:///srv/bucket/a.tar - | tar t",
  ],
  exits: [4, 5, 6, 8],
  async run(call) {
    const { args, options, output, runtime } = call;
    const path = await locateBucket(call, args[0] ?? "", readingAccess(call));
    await using reader = await openReader(call, path.address, options.at, {
      stale: true,
      capacityBytes: 2 * COPY_AHEAD_BYTES,
      isOwner: true,
    });
    const object = await findObject(reader, path);
    if (args[1] === "-") {
      for await (const bytes of fileBytes(reader, object, path)) await output.bytes(bytes);
      return;
    }
    if (args[1] !== undefined && (await isWrittenInto(args[1])))
      return await writeFile(args[1], fileBytes(reader, object, path));
    const { type, size } = object.record;
    if (type === "directory" && options.recursive !== true) {
      throw new SynclineError("is_a_directory", `${printPath(path.names) || path.address} is a directory.`, {
        hint: "Add -r to get the whole directory.",
      });
    }
    const { folder, name, text } = await targetOf(args[1], path, type);
    await requireFolder(folder);
    await refuseOwnTarget(path.address, folder, nameToBytes(name), text);
    using progress = output.progress("get", { files: 1, bytes: size });
    if (type === "directory" && progress.isShown) progress.update({}, await contentsOf(reader, path, object, progress));
    const done = { files: 0, bytes: 0 };
    const copy = new CopyOut({
      reader,
      runtime,
      disk: await openRealDisk(folder, { allXattrs: false, setModified, unlocks: false }),
      special: options.special === true,
      moved(files, bytes) {
        done.files += files;
        done.bytes += bytes;
        progress.update(done);
      },
    });
    countBuffers();
    await copy.copy(object, name);
    report(output, copy, text, reader.isStale);
    const [error, ...more] = copy.left.errors();
    for (const { message } of more) output.notice(message);
    if (error !== undefined) throw error;
  },
});

/** The root's total is stored in the bucket; any other directory is counted. */
async function contentsOf(
  { commit, nodes, tree }: BucketReader,
  { names }: BucketPath,
  { id }: TreeObject,
  progress: Progress,
): Promise<Amounts> {
  const { files, bytes } = commit.body.totals;
  if (names.length === 0) return { files, bytes };
  using _counting = progress.step("counting");
  return await countBelow(nodes, tree, id);
}

/** Whether it is a device, a fifo or an open file, such as /dev/null and /dev/stdout: written into, never replaced. */
async function isWrittenInto(given: string): Promise<boolean> {
  const found = await stat(given).catch(() => undefined);
  if (found === undefined || found.isDirectory()) return false;
  return !found.isFile() || namesOpenFile(given);
}

/** As cp: into an existing directory, else under the given name. */
async function targetOf(given: string | undefined, { names, address }: BucketPath, type: FileType): Promise<Target> {
  const name = names.at(-1) ?? nameFromText(parseAddress(address).name);
  if (given === undefined) return { folder: ".", name, text: nameToText(name) };
  const found = await stat(given).catch(() => undefined);
  if (found?.isDirectory() === true) return { folder: given, name, text: join(given, nameToText(name)) };
  requireKnownBytes(given);
  if (type !== "directory" && /\/\.?$/.test(given)) {
    throw new SynclineError("local_io_failed", `${printText(given)} is not a directory.`, {
      hint: "To make it one: mkdir -p DIR. For a file of that name, leave out the slash.",
    });
  }
  return { folder: dirname(given), name: nameFromText(basename(given)), text: given };
}

interface Target {
  readonly folder: string;
  readonly name: FileName;
  /** For people. */
  readonly text: string;
}

/** Without this check the error would name a temporary file. */
async function requireFolder(folder: string): Promise<void> {
  const found = await unless("ENOENT", () => stat(folder));
  if (found !== undefined) return;
  throw new SynclineError("local_io_failed", `The directory ${printText(folder)} does not exist.`, {
    hint: "Create it first: mkdir -p DIR.",
  });
}

function report(
  output: Output,
  { files, bytes, skipped, unowned, unlinked }: CopyOut,
  target: string,
  isStale: boolean,
): void {
  if (skipped > 0) output.notice(`Skipped ${skipped} fifos, sockets and devices.`);
  if (unlinked > 0) {
    const files = unlinked === 1 ? "a separate file" : "separate files";
    output.notice(`Copied ${printCount(unlinked, "hard link")} as ${files}: the disk refused the links.`);
  }
  if (unowned > 0) output.notice(`Could not set the owners of ${unowned} files.`);
  output.result(
    { target, files, bytes, skipped, ...(isStale && { stale: true }) },
    `${printCount(files, "file")}, ${printBytes(bytes)} copied to ${escapeForPrint(target)}`,
  );
}
