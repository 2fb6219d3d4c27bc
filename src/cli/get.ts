/** `syncline get`: copies files out of a bucket, without a mount. */
import { chmod, lchown, link, lutimes, mkdir, open, rename, rm, stat, symlink, utimes } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { SynclineError } from "../base/errors.ts";
import type { FileName } from "../base/ids.ts";
import { listDirectory, readObject } from "../bucket/fs-reader.ts";
import type { TreeObject } from "../bucket/fs-reader.ts";
import { streamContent } from "../content/read.ts";
import { dentryId } from "../format/rows.ts";
import { locateBucket } from "./bucket-path.ts";
import { findObject, openReader, readTarget } from "./bucket-reader.ts";
import type { BucketReader } from "./bucket-reader.ts";
import { addCommand } from "./command.ts";
import type { Program } from "./command.ts";
import type { Progress } from "./progress.ts";
import { printBytes, printPath } from "./text.ts";

export function register(program: Program): void {
  addCommand(program, {
    name: "get",
    arguments: [
      ["<url>", "bucket/path"],
      ["[target]", "file or directory to make; - for stdout; default: the path's last name here"],
    ],
    summary: "copy a file, or with -r a directory, out of a bucket",
    options: ["recursive", "at"],
    examples: [
      "syncline get file:///srv/bucket/notes.txt",
      "syncline get -r file:///srv/bucket/photos ./photos",
      "syncline get file:///srv/bucket/a.tar - | tar t",
    ],
    exits: [4, 5, 6, 8],
    async run({ args, options, output, runtime }) {
      const path = await locateBucket(runtime, args[0] ?? "");
      await using reader = await openReader(runtime, path.address, options.at);
      const object = await findObject(reader, path);
      if (args[1] === "-") {
        for await (const bytes of streamContent(reader.content, object.record.content, object.record.size))
          await output.bytes(bytes);
        return;
      }
      if (object.record.type === "directory" && options.recursive !== true) {
        throw new SynclineError("is_a_directory", `${printPath(path.names) || path.address} is a directory.`, {
          hint: "Add -r to get all of it.",
        });
      }
      const last = path.names.at(-1);
      const name =
        last === undefined ? basename(new URL(path.address).pathname) : Buffer.from(last, "latin1").toString("utf8");
      const target = await targetOf(args[1], name);
      using progress = output.progress("get", "bytes", object.record.type === "file" ? object.record.size : undefined);
      const copy = new Copy(reader, progress);
      await copy.object(object, Buffer.from(target));
      const { files, bytes } = copy;
      output.result({ target, files, bytes }, `${files} files, ${printBytes(bytes)} to ${target}`);
    },
  });
}

async function targetOf(given: string | undefined, name: string): Promise<string> {
  if (given === undefined) return name;
  const found = await stat(given).catch(() => undefined);
  return found?.isDirectory() === true ? join(given, name) : given;
}

class Copy {
  files = 0;
  bytes = 0;
  readonly #reader: BucketReader;
  readonly #progress: Progress;
  /** Where the first name of a hard-linked file went. */
  readonly #linked = new Map<string, Buffer>();

  constructor(reader: BucketReader, progress: Progress) {
    this.#reader = reader;
    this.#progress = progress;
  }

  async object(object: TreeObject, target: Buffer): Promise<void> {
    const { record, names, id } = object;
    switch (record.type) {
      case "directory":
        return this.#directory(object, target);
      case "symlink":
        await symlink(Buffer.from(await readTarget(this.#reader, record), "latin1"), target);
        break;
      case "file": {
        const first = this.#linked.get(id);
        if (first !== undefined) return link(first, target);
        if (names.length > 1) this.#linked.set(id, target);
        await this.#file(object, target);
        break;
      }
      default:
        // Fifos, sockets and devices belong to the machine that made them.
        return;
    }
    await keepMeta(object, target);
    this.files++;
  }

  async #directory(object: TreeObject, target: Buffer): Promise<void> {
    await mkdir(target, { recursive: true });
    const { nodes, tree } = this.#reader;
    for await (const { name, dentry } of listDirectory(nodes, tree, object.id)) {
      const child = await readObject(nodes, tree, dentryId(object.id, name, dentry), { parent: object.id, name });
      if (child !== undefined) await this.object(child, Buffer.concat([target, Buffer.from("/"), bytesOf(name)]));
    }
    await keepMeta(object, target);
  }

  /** Written beside the target and renamed, so that a target is never half there. */
  async #file({ record }: TreeObject, target: Buffer): Promise<void> {
    const text = target.toString("latin1");
    const temporary = Buffer.from(
      join(dirname(text), `.${basename(text).slice(0, 200)}.${process.pid}.part`),
      "latin1",
    );
    const file = await open(temporary, "wx", 0o600);
    try {
      for await (const bytes of streamContent(this.#reader.content, record.content, record.size)) {
        await file.write(bytes);
        this.bytes += bytes.length;
        this.#progress.update(this.bytes);
      }
      await file.truncate(record.size);
      await file.close();
      await rename(temporary, target);
    } catch (error) {
      await file.close().catch(() => {});
      await rm(temporary.toString("utf8"), { force: true });
      throw error;
    }
  }
}

async function keepMeta({ record }: TreeObject, target: Buffer): Promise<void> {
  const seconds = Number(record.mtimeNs) / 1e9;
  if (process.getuid?.() === 0) await lchown(target, record.uid, record.gid);
  if (record.type === "symlink") return lutimes(target, seconds, seconds);
  await chmod(target, record.mode);
  await utimes(target, seconds, seconds);
}

function bytesOf(name: FileName): Buffer {
  return Buffer.from(name, "latin1");
}
