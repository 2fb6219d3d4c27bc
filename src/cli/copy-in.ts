/** Copies local files and directories into a bucket, as edits of a writer that publishes them later as one commit. */
import type { BigIntStats } from "node:fs";
import { lstat, readdir, readlink } from "node:fs/promises";
import { SynclineError } from "../base/errors.ts";
import { escapeForPrint, nameFromBytes } from "../base/names.ts";
import { failedWith } from "../base/system-errors.ts";
import type { BucketWriter, NewAttributes, Path } from "../bucket/writer.ts";
import { sourceOfFile } from "../bucket/writer/file-source.ts";
import type { Progress } from "./progress.ts";

export class CopyIn {
  /** Files and links taken. */
  files = 0;
  bytes = 0;
  /** Fifos, sockets and devices: they belong to the machine that made them. */
  skipped = 0;
  readonly #writer: BucketWriter;
  readonly #progress: Progress;
  /** Where the first name of a hard-linked file went, by device and inode. */
  readonly #linked = new Map<string, Path>();

  constructor(writer: BucketWriter, progress: Progress) {
    this.#writer = writer;
    this.#progress = progress;
  }

  /** Takes what is at `source`; a directory only if `recursive`. Throws `is_a_directory`, `no_such_path`, `name_invalid`. */
  async copy(source: Buffer, target: Path, recursive: boolean): Promise<void> {
    const stat = await look(source);
    const attributes = attributesOf(stat);
    if (stat.isDirectory()) {
      if (!recursive) throw isADirectory(source);
      return this.#directory(source, target, attributes);
    }
    if (stat.isSymbolicLink()) {
      const leadsTo = await readlink(source, { encoding: "buffer" });
      await this.#writer.putSymlink(target, leadsTo.toString("latin1"), attributes);
      this.count(0);
    } else if (stat.isFile()) await this.#file(source, target, stat);
    else this.skipped++;
  }

  count(bytes: number): void {
    this.files++;
    this.bytes += bytes;
    this.#progress.update(this.files);
  }

  async #file(source: Buffer, target: Path, stat: BigIntStats): Promise<void> {
    const identity = `${stat.dev} ${stat.ino}`;
    const first = this.#linked.get(identity);
    if (first !== undefined) {
      await this.#writer.link(target, first);
      return this.count(0);
    }
    const size = Number(stat.size);
    await this.#writer.putFile(target, sourceOfFile(source, size), attributesOf(stat));
    if (stat.nlink > 1n) this.#linked.set(identity, target);
    this.count(size);
  }

  async #directory(source: Buffer, target: Path, attributes: NewAttributes): Promise<void> {
    await this.#writer.makeDirectory(target, attributes);
    for (const name of await readdir(source, { encoding: "buffer" })) {
      await this.copy(Buffer.concat([source, SLASH, name]), [...target, nameFromBytes(name)], true);
    }
    await this.#writer.setAttributes(target, attributes);
  }
}

async function look(source: Buffer): Promise<BigIntStats> {
  try {
    return await lstat(source, { bigint: true });
  } catch (cause) {
    if (!failedWith(cause, "ENOENT")) throw cause;
    throw new SynclineError("no_such_path", `There is no ${escapeForPrint(source.toString("utf8"))}.`, {
      hint: "Check the path.",
      cause,
    });
  }
}

function isADirectory(source: Buffer): SynclineError {
  return new SynclineError("is_a_directory", `${escapeForPrint(source.toString("utf8"))} is a directory.`, {
    hint: "Add -r to put all of it.",
  });
}

function attributesOf(stat: BigIntStats): NewAttributes {
  return { mode: Number(stat.mode) & 0o7777, uid: Number(stat.uid), gid: Number(stat.gid), mtimeNs: stat.mtimeNs };
}

const SLASH = Buffer.from("/");
