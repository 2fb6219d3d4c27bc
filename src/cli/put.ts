/** `syncline put`: copies files into a bucket, without a mount, as one commit. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { requirePublished } from "../agent/command-writer.ts";
import { SynclineError } from "../base/errors.ts";
import { nameFromBytes } from "../base/names.ts";
import type { BucketWriter, Path } from "../bucket/writer.ts";
import { sourceOfStream } from "../bucket/writer/file-source.ts";
import { locateBucket } from "./bucket-path.ts";
import type { BucketPath } from "./bucket-path.ts";
import { openWriterFor } from "./bucket-writer.ts";
import { addCommand } from "./command.ts";
import type { Call, Program } from "./command.ts";
import { CopyIn } from "./copy-in.ts";
import { BUCKET_OPTIONS, type BucketOption } from "./master-access.ts";
import type { Runtime } from "./runtime.ts";
import { noteOf, printBytes, printCount } from "./text.ts";

export function register(program: Program): void {
  addCommand(program, {
    name: "put",
    arguments: [
      ["<source>", "file or directory; - for stdin"],
      ["<url>", "bucket/path"],
    ],
    summary: "copy a file, or with -r a directory, into a bucket",
    options: ["recursive", ...BUCKET_OPTIONS],
    examples: [
      "syncline put notes.txt file:///srv/bucket/notes.txt",
      "syncline put -r ./photos file:///srv/bucket/",
      "syncline put -r ./photos/. file:///srv/bucket/photos",
      "tar c . | syncline put - file:///srv/bucket/backup.tar",
    ],
    exits: [4, 5, 6, 8],
    run: put,
  });
}

async function put(call: Call<"recursive" | BucketOption>): Promise<void> {
  const { args, options, output, runtime } = call;
  const [source = "", url = ""] = args;
  const path = await locateBucket(runtime, url);
  await using session = await openWriterFor(call, path.address);
  const { writer } = session;
  using progress = output.progress("put", "files");
  const copy = new CopyIn(writer, progress);
  using spool = source === "-" ? spoolFolder(runtime) : undefined;
  if (spool !== undefined) await putStream(call, writer, path.names, copy, spool.path);
  else await copy.copy(Buffer.from(source), await targetOf(writer, path, source), options.recursive === true);
  const { root, conflicts, figures } = requirePublished(await writer.publish(noteOf(`put ${source}`)));
  const { files, bytes, skipped } = copy;
  if (skipped > 0) output.notice(`Left out ${skipped} fifos, sockets and devices.`);
  const counts = { files, bytes, skipped, ...figures, conflicts: conflicts.length };
  const value = { root: root.commit, version: root.version, ...counts };
  output.result(value, `${printCount(files, "file")}, ${printBytes(bytes)} in root ${root.commit}`);
}

/** Where a stream is kept that is too long for memory; gone with the command, however it ends. */
function spoolFolder(runtime: Runtime): Disposable & { readonly path: string } {
  const path = mkdtempSync(join(tmpdir(), "syncline-put-"));
  const remove = () => rmSync(path, { recursive: true, force: true });
  const interrupted = runtime.ifInterrupted(remove);
  const dispose = () => {
    interrupted[Symbol.dispose]();
    remove();
  };
  return { path, [Symbol.dispose]: dispose };
}

async function putStream(
  { runtime }: Call,
  writer: BucketWriter,
  target: Path,
  copy: CopyIn,
  folder: string,
): Promise<void> {
  if (target.length === 0) throw new SynclineError("usage", "Say what the file is to be called: URL/PATH.");
  const stream = await sourceOfStream(runtime.stdin, folder);
  const [uid, gid] = [process.getuid?.() ?? 0, process.getgid?.() ?? 0];
  await writer.putFile(target, stream, { mode: 0o644, uid, gid });
  copy.count(stream.size);
}

/** A path that is a directory, or is spelt as one, takes the source under its own name; "dir/." means what is in dir. */
async function targetOf(writer: BucketWriter, path: BucketPath, source: string): Promise<Path> {
  const { names, directory } = path;
  const name = basename(source);
  if (["", ".", ".."].includes(name)) return names;
  const there = names.length === 0 || directory || (await writer.record(names))?.type === "directory";
  return there ? [...names, nameFromBytes(Buffer.from(name))] : names;
}
