/** `syncline put`: copies files into a bucket, without a mount, as one commit. */
import { lstat, readdir, readlink } from "node:fs/promises";
import type { BigIntStats } from "node:fs";
import { tmpdir } from "node:os";
import { basename } from "node:path";
import { openCommandWriter, requirePublished } from "../agent/command-writer.ts";
import { stateRoot } from "../agent/state-dir.ts";
import { SynclineError } from "../base/errors.ts";
import type { FileName } from "../base/ids.ts";
import { silentLog } from "../base/log.ts";
import { nameFromBytes } from "../base/names.ts";
import type { BucketWriter, NewAttributes, Path } from "../bucket/writer.ts";
import { sourceOfFile, sourceOfStream } from "../bucket/writer/file-source.ts";
import { locateBucket } from "./bucket-path.ts";
import { addCommand } from "./command.ts";
import type { Program } from "./command.ts";
import type { Progress } from "./progress.ts";
import { printBytes, printPath } from "./text.ts";
import { loadWallet } from "./wallet.ts";

export function register(program: Program): void {
  addCommand(program, {
    name: "put",
    arguments: [
      ["<source>", "file or directory; - for stdin"],
      ["<url>", "bucket/path"],
    ],
    summary: "copy a file, or with -r a directory, into a bucket",
    options: ["recursive"],
    examples: [
      "syncline put notes.txt file:///srv/bucket/notes.txt",
      "syncline put -r ./photos file:///srv/bucket/",
      "tar c . | syncline put - file:///srv/bucket/backup.tar",
    ],
    exits: [4, 5, 6],
    async run(call) {
      const { args, options, output, runtime } = call;
      const [source = "", url = ""] = args;
      const { clock, random, env } = runtime;
      const path = await locateBucket(runtime, url);
      await using session = await openCommandWriter({
        address: path.address,
        stateRoot: stateRoot(env, options.state),
        wallet: async () => loadWallet(call),
        clock,
        random,
        log: silentLog,
      });
      const { writer } = session;
      using progress = output.progress("put", "files");
      const put = new Put(writer, options.recursive === true, progress);
      if (source === "-") await put.stream(runtime.stdin, path.names);
      else await put.path(Buffer.from(source), await targetOf(writer, path, source));
      const { root, conflicts, figures } = requirePublished(await writer.publish(`put ${source}`));
      const { files, bytes } = put;
      const value = { root: root.commit, version: root.version, files, bytes, ...figures, conflicts: conflicts.length };
      output.result(value, `${files} files, ${printBytes(bytes)} in root ${root.commit}`);
    },
  });
}

/** A path that is a directory, or is spelt as one, takes the source under its own name. */
async function targetOf(
  writer: BucketWriter,
  { names, directory }: { names: Path; directory: boolean },
  source: string,
): Promise<Path> {
  const there = names.length === 0 || directory || (await writer.record(names))?.type === "directory";
  return there ? [...names, nameFromBytes(Buffer.from(basename(source)))] : names;
}

class Put {
  files = 0;
  bytes = 0;
  readonly #writer: BucketWriter;
  readonly #recursive: boolean;
  readonly #progress: Progress;

  constructor(writer: BucketWriter, recursive: boolean, progress: Progress) {
    this.#writer = writer;
    this.#recursive = recursive;
    this.#progress = progress;
  }

  async stream(stream: AsyncIterable<Uint8Array>, target: Path): Promise<void> {
    if (target.length === 0) throw new SynclineError("usage", "Say what the file is to be called: URL/PATH.");
    const source = await sourceOfStream(stream, tmpdir());
    await this.#writer.putFile(target, source, {
      mode: 0o644,
      uid: process.getuid?.() ?? 0,
      gid: process.getgid?.() ?? 0,
    });
    this.#count(source.size);
  }

  async path(source: Buffer, target: Path): Promise<void> {
    const stat = await look(source);
    const attributes = attributesOf(stat);
    if (stat.isSymbolicLink()) {
      const link = await readlink(source, { encoding: "buffer" });
      await this.#writer.putSymlink(target, link.toString("latin1"), attributes);
      this.#count(0);
    } else if (stat.isFile()) {
      await this.#writer.putFile(target, sourceOfFile(source.toString("utf8"), Number(stat.size)), attributes);
      this.#count(Number(stat.size));
    } else if (stat.isDirectory()) await this.#directory(source, target, attributes);
    // Fifos, sockets and devices belong to the machine that made them.
  }

  async #directory(source: Buffer, target: Path, attributes: NewAttributes): Promise<void> {
    if (!this.#recursive) {
      throw new SynclineError(
        "is_a_directory",
        `${printPath([source.toString("latin1") as FileName])} is a directory.`,
        {
          hint: "Add -r to put all of it.",
        },
      );
    }
    await this.#writer.makeDirectory(target, attributes);
    for (const name of await readdir(source, { encoding: "buffer" })) {
      await this.path(Buffer.concat([source, Buffer.from("/"), name]), [...target, nameFromBytes(name)]);
    }
  }

  #count(bytes: number): void {
    this.files++;
    this.bytes += bytes;
    this.#progress.update(this.files);
  }
}

async function look(source: Buffer): Promise<BigIntStats> {
  try {
    return await lstat(source, { bigint: true });
  } catch (cause) {
    throw new SynclineError("no_such_path", `${source.toString("utf8")} cannot be read.`, { cause });
  }
}

function attributesOf(stat: BigIntStats): NewAttributes {
  return { mode: Number(stat.mode) & 0o7777, uid: Number(stat.uid), gid: Number(stat.gid), mtimeNs: stat.mtimeNs };
}
