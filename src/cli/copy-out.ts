/**
 * Copies objects of a bucket to the local disk with modes, times and links. Each file is written beside its place and renamed
 * into it, so that it is there whole or not at all; what a copy replaces is a file or a link, never a directory.
 */
import { rmSync } from "node:fs";
import { chmod, lchown, link, lstat, mkdir, open, rename, rm, symlink } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { SynclineError } from "../base/errors.ts";
import type { FileId, FileName } from "../base/ids.ts";
import { nameToBytes } from "../base/names.ts";
import { failedWith } from "../base/system-errors.ts";
import { liesInItself, listDirectory, lookup } from "../bucket/fs-reader.ts";
import type { TreeObject } from "../bucket/fs-reader.ts";
import { missingBlocks, streamContent } from "../content/read.ts";
import { seekContent } from "../content/seek.ts";
import { writeParts } from "../objects/disk.ts";
import { readTarget } from "./bucket-reader.ts";
import type { BucketReader } from "./bucket-reader.ts";
import { setModified } from "./file-times.ts";
import type { Progress } from "./progress.ts";
import type { Runtime } from "./runtime.ts";

export class CopyOut {
  /** Files and links made. */
  files = 0;
  /** Their sizes, holes included. */
  bytes = 0;
  /** Fifos, sockets and devices: they belong to the machine that made them. */
  skipped = 0;
  /** Objects that kept the owner of who copies, although root copies. */
  unowned = 0;
  readonly #reader: BucketReader;
  readonly #runtime: Runtime;
  readonly #progress: Progress;
  /** The directories whose entries are at it, from the top down. */
  readonly #above = new Set<FileId>();
  /** Where the first name of a hard-linked file went. */
  readonly #linked = new Map<string, Buffer>();

  constructor(reader: BucketReader, runtime: Runtime, progress: Progress) {
    this.#reader = reader;
    this.#runtime = runtime;
    this.#progress = progress;
  }

  /** Copies an object, a directory with all below it. Throws `path_exists` where something else is in a directory's way. */
  async copy(object: TreeObject, target: Buffer): Promise<void> {
    switch (object.record.type) {
      case "directory":
        return this.#directory(object, target);
      case "symlink":
        return this.#symlink(object, target);
      case "file":
        return this.#file(object, target);
      default:
        this.skipped++;
    }
  }

  /** Throws `format_invalid` where a bucket says that directories lie in one another. */
  async #directory(object: TreeObject, target: Buffer): Promise<void> {
    if (this.#above.has(object.id)) throw liesInItself();
    this.#above.add(object.id);
    await makeDirectory(target);
    for await (const group of this.#groups(object)) {
      for (const { child, name } of group) await this.copy(child, Buffer.concat([target, SLASH, nameToBytes(name)]));
    }
    this.#above.delete(object.id);
    // Last: a directory without the right to write would refuse its entries, and each of them changes its time.
    await this.#keepAttributes(object, target);
  }

  /** The entries of a directory; while one group is copied, the contents of the next are on their way, in a request or two. */
  async *#groups(directory: TreeObject): AsyncGenerator<Entry[]> {
    const { nodes, tree } = this.#reader;
    let before: Entry[] = [];
    let group: Entry[] = [];
    let bytes = 0;
    for await (const { name } of listDirectory(nodes, tree, directory.id)) {
      const child = await lookup(nodes, tree, { parent: directory.id, name });
      if (child === undefined) continue;
      group.push({ child, name });
      bytes += Math.min(child.record.size, AHEAD_FILE_BYTES);
      if (bytes < AHEAD_BYTES && group.length < AHEAD_ENTRIES) continue;
      this.#readAhead(group);
      if (before.length > 0) yield before;
      [before, group, bytes] = [group, [], 0];
    }
    this.#readAhead(group);
    for (const last of [before, group]) if (last.length > 0) yield last;
  }

  /** Best effort: what does not come is asked for again by whoever copies it, and is reported there. */
  #readAhead(entries: readonly Entry[]): void {
    const { content } = this.#reader;
    const files = entries.map(({ child }) => child.record).filter(({ type }) => type === "file");
    const load = async () => {
      // Lists first, then the chunks that they name.
      for (let level = 0; level < AHEAD_LEVELS; level++) {
        const missing = files.flatMap(({ content: start, size }) =>
          missingBlocks(content, start, size, 0, Math.min(size, AHEAD_FILE_BYTES)),
        );
        if (missing.length === 0) return;
        await content.load(missing);
      }
    };
    load().catch(() => {});
  }

  async #symlink(object: TreeObject, target: Buffer): Promise<void> {
    const leadsTo = Buffer.from(await readTarget(this.#reader, object.record), "latin1");
    await this.#place(target, async (temporary) => {
      await symlink(leadsTo, temporary);
      await this.#keepAttributes(object, temporary);
    });
    this.files++;
  }

  async #file(object: TreeObject, target: Buffer): Promise<void> {
    const { id, names, record } = object;
    const first = this.#linked.get(id);
    if (first !== undefined) return this.#place(target, (temporary) => link(first, temporary));
    await this.#place(target, async (temporary) => {
      const file = await open(temporary, "wx", 0o600);
      try {
        await this.#write(object, file);
      } finally {
        await file.close();
      }
      await this.#keepAttributes(object, temporary);
    });
    if (names.length > 1) this.#linked.set(id, target);
    this.files++;
    this.bytes += record.size;
  }

  /** Writes the data and leaves out the holes. */
  async #write({ record: { content, size } }: TreeObject, file: FileHandle): Promise<void> {
    const source = this.#reader.content;
    for (let at: number | undefined = 0; (at = await seekContent(source, content, size, at, "data")) !== undefined;) {
      const end: number = (await seekContent(source, content, size, at, "hole")) ?? size;
      for await (const bytes of streamContent(source, content, size, at, end)) {
        await writeParts(file, at, [bytes]);
        at += bytes.length;
        this.#progress.update(this.bytes + at);
      }
    }
    await file.truncate(size);
  }

  /** Has something made under a temporary name and puts it in its place. */
  async #place(target: Buffer, make: (temporary: Buffer) => Promise<void>): Promise<void> {
    const unique = Buffer.from(this.#runtime.random.bytes(8)).toString("hex");
    const temporary = Buffer.concat([
      target.subarray(0, target.lastIndexOf(SLASH) + 1),
      Buffer.from(`.${unique}.part`),
    ]);
    const interrupted = this.#runtime.ifInterrupted(() => rmSync(temporary, { force: true }));
    try {
      await make(temporary);
      await rename(temporary, target);
    } finally {
      interrupted[Symbol.dispose]();
      // rename(2) leaves both names when they are links of one file already.
      await rm(temporary, { force: true });
    }
  }

  async #keepAttributes({ record }: TreeObject, path: Buffer): Promise<void> {
    if (process.getuid?.() === 0) await this.#keepOwner(path, record.uid, record.gid);
    if (record.type !== "symlink") await chmod(path, record.mode);
    await setModified(path, record.mtimeNs);
  }

  async #keepOwner(path: Buffer, uid: number, gid: number): Promise<void> {
    try {
      await lchown(path, uid, gid);
    } catch (error) {
      // A root that is root in its container only, or a filesystem that knows no owners.
      if (!failedWith(error, "EPERM", "EINVAL")) throw error;
      this.unowned++;
    }
  }
}

/** A link in the way is never followed: what a bucket holds must not lead out of the target. */
async function makeDirectory(target: Buffer): Promise<void> {
  const there = await lstat(target).catch(() => undefined);
  if (there?.isDirectory() === true) return;
  if (there === undefined) return void (await mkdir(target, { recursive: true }));
  throw new SynclineError("path_exists", `${target.toString("utf8")} is in the way of a directory.`, {
    hint: "Move it away, or choose another target.",
  });
}

/** What is read ahead of the files of a directory, in all and of each. */
const AHEAD_BYTES = 4 * 1024 * 1024;
const AHEAD_FILE_BYTES = 256 * 1024;
const AHEAD_ENTRIES = 128;
const AHEAD_LEVELS = 2;

interface Entry {
  readonly child: TreeObject;
  readonly name: FileName;
}

const SLASH = Buffer.from("/");
