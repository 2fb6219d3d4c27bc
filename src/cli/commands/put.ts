/** `syncline put`: copies files into a bucket, without a mount. */
import { createReadStream, mkdtempSync, rmSync } from "node:fs";
import { lstat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { requirePublished, type CommandWriter } from "../../agent/command-writer.ts";
import { countBuffers, releaseMemory } from "../../runtime/memory.ts";
import { SynclineError } from "../../base/errors.ts";
import { escapeForPrint, nameFromBytes } from "../../base/names.ts";
import type { BucketWriter, Path } from "../../bucket/writer.ts";
import { Elsewhere } from "../../bucket/writer/elsewhere.ts";
import { sourceOfStream } from "../../bucket/writer/file-source.ts";
import { openRealDisk } from "../../sync/disk/real-disk.ts";
import { type BucketPath, locateBucket } from "./bucket-path.ts";
import { openWriterFor } from "./bucket-writer.ts";
import { noteConflicts, noteElsewhere } from "./conflict-report.ts";
import { type Call, command } from "../command.ts";
import { requireKnownBytes } from "../given-path.ts";
import { CopyIn } from "./copy-in.ts";
import { setModified } from "./file-times.ts";
import { namesOpenFile } from "./open-files.ts";
import { refuseOwnSource } from "./own-storage.ts";
import type { PublishedPortions } from "./portion-writer.ts";
import { againText, isContents } from "./put-again.ts";
import { BUCKET_OPTIONS, type BucketOption, writingAccess } from "../master-access.ts";
import type { Amounts } from "../terminal/progress-rate.ts";
import type { Runtime } from "../runtime.ts";
import { noteOf, printBytes, printCount } from "../terminal/text.ts";

export const register = command({
  name: "put",
  arguments: [
    ["<source>", "file, directory, pipe or device; - for stdin"],
    ["<url>", "bucket/path; an existing directory gets the source under its own name"],
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

async function put(call: Call<"recursive" | BucketOption>): Promise<void> {
  const { args, output } = call;
  const [source = "", url = ""] = args;
  requireKnownBytes(source);
  const path = await locateBucket(call, url, writingAccess(call));
  if (call.options.recursive === true && source !== "-") await refuseOwnSource(path.address, source);
  await using session = await openWriterFor(call, path.address);
  const { writer } = session;
  const note = noteOf(`put ${source}`);
  countBuffers();
  const { root, files, bytes, skipped, conflicts, figures, unsteady, vanished } =
    source === "-" || (await isStream(source))
      ? await putStream(call, session, path, note)
      : await putFiles(call, session, { given: path.names, target: await targetOf(writer, path, source) }, note);
  if (skipped > 0) output.notice(`Skipped ${skipped} fifos, sockets and devices.`);
  if (vanished.length > 0) output.notice(`Left out what was removed meanwhile: ${listed(vanished)}.`);
  noteConflicts(output, conflicts);
  const counts = { files, bytes, skipped, ...figures, conflicts };
  const value = { root: root.commit, version: root.version, ...counts };
  output.result(value, `${printCount(files, "file")}, ${printBytes(bytes)} in root ${root.commit}`);
  if (unsteady.length > 0) throw keptChanging(unsteady.map((below) => below || source));
}

/** As tar reports it: the bucket has these files, perhaps with bytes of several moments. */
function keptChanging(paths: readonly string[]): SynclineError {
  const isOne = paths.length === 1;
  const message = `${listed(paths)} kept changing while ${isOne ? "it was" : "they were"} read.`;
  return new SynclineError("precondition_failed", message, {
    hint: `The bucket has what was read last. Put ${isOne ? "it" : "them"} again once no program writes to ${isOne ? "it" : "them"}.`,
  });
}

function listed(paths: readonly string[]): string {
  const names = paths.slice(0, SHOWN).map(escapeForPrint);
  if (paths.length > SHOWN) names.push(`${paths.length - SHOWN} more`);
  return names.join(", ");
}

const SHOWN = 10;

type Put = PublishedPortions & Pick<CopyIn, "files" | "bytes" | "skipped" | "unsteady" | "vanished">;

async function putFiles(
  { args, options, output, runtime }: Call<"recursive" | BucketOption>,
  session: CommandWriter,
  { given, target }: { readonly given: Path; readonly target: Path },
  note: string,
): Promise<Put> {
  using progress = output.progress("put");
  let [bytes, total]: [number, Amounts | undefined] = [0, undefined];
  using spool = new Spool(runtime);
  await using copy = new CopyIn({
    session,
    note,
    openDisk: (path) => openRealDisk(path, { allXattrs: false, setModified, unlocks: false }),
    spoolPath: () => spool.newPath(),
    moved: (more) => progress.update({ files: copy.files, bytes: (bytes += more) }, total),
    ...(progress.isShown && { counted: (all: Amounts) => (total = all) }),
    release: releaseMemory,
  });
  try {
    await copy.copy(args[0] ?? "", target, options.recursive === true);
    const published = await copy.publish();
    const { files, skipped, unsteady, vanished } = copy;
    return { ...published, files, bytes: copy.bytes, skipped, unsteady, vanished };
  } catch (error) {
    if (copy.sent > 0) {
      const sent = printCount(copy.sent, "file");
      const again = againText(args, given, target);
      output.notice(`${sent} reached the bucket before this failed, and stay there. ${again}`);
    }
    throw error;
  }
}

/** A temporary folder for streams that do not fit in memory. It is removed when the command ends, also by a signal. */
class Spool implements Disposable {
  #folder: string | undefined;
  #paths = 0;
  readonly #interrupted: Disposable;

  constructor(runtime: Runtime) {
    this.#interrupted = runtime.ifInterrupted(() => this.#remove());
  }

  newPath(): string {
    this.#folder ??= mkdtempSync(join(tmpdir(), "syncline-put-"));
    return join(this.#folder, String(this.#paths++));
  }

  [Symbol.dispose](): void {
    this.#interrupted[Symbol.dispose]();
    this.#remove();
  }

  #remove(): void {
    if (this.#folder !== undefined) rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** Whether it is a device, a fifo or an open file: its bytes are stored, as those of the standard input. */
async function isStream(source: string): Promise<boolean> {
  const found = await lstat(source).catch(() => undefined);
  if (found === undefined || found.isFile() || found.isDirectory()) return false;
  return !found.isSymbolicLink() || namesOpenFile(source);
}

async function putStream(
  { args, runtime, output }: Call,
  { bucket, writer }: CommandWriter,
  { names: target, directory }: BucketPath,
  note: string,
): Promise<Put> {
  if (target.length === 0 || directory) throw new SynclineError("usage", "Give the file a name: URL/PATH.");
  const isStdin = args[0] === "-";
  const instead = isStdin ? runtime.unreadableStdin?.() : undefined;
  if (instead !== undefined) {
    throw new SynclineError("usage", `Nothing can be read from the standard input: it is ${instead}.`, {
      hint: "Pipe a program's output into put, or redirect a file. For an empty file: true | syncline put - URL.",
    });
  }
  using spool = new Spool(runtime);
  const stream = await sourceOfStream(isStdin ? runtime.stdin : createReadStream(args[0] ?? ""), spool.newPath());
  const [uid, gid] = [process.getuid?.() ?? 0, process.getgid?.() ?? 0];
  await writer.putFile(target, stream, { mode: 0o644, uid, gid });
  const { root, conflicts, figures } = requirePublished(await writer.publish(note));
  noteElsewhere(output, target, await new Elsewhere(bucket, writer.base, root.commit).of(target, target));
  const nothing = { skipped: 0, unsteady: [], vanished: [] };
  return { root, conflicts: conflicts.length, figures, files: 1, bytes: stream.size, ...nothing };
}

/** If the path is or is spelled as a directory, the source keeps its name in it; "dir/." means the contents of dir. */
async function targetOf(writer: BucketWriter, path: BucketPath, source: string): Promise<Path> {
  const { names, directory } = path;
  if (isContents(source)) return names;
  const name = basename(source);
  const there = names.length === 0 || directory || (await writer.record(names))?.type === "directory";
  return there ? [...names, nameFromBytes(Buffer.from(name))] : names;
}
