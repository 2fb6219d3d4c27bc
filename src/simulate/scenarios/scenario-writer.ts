/**
 * A writer of a scenario: a filesystem with its overlay on a simulated disk, over a tree in memory. Changes are sealed and
 * built as an agent does it.
 */
import { SynclineError } from "../../base/errors.ts";
import type { Clock } from "../../base/clock.ts";
import type { Cid, Lamport } from "../../base/ids.ts";
import { silentLog } from "../../base/log.ts";
import { nameFromText } from "../../base/names.ts";
import { type RebaseContext, rebaseEpoch } from "../../fstree/rebase/rebase.ts";
import { cidOf } from "../../format/blocks/cid.ts";
import { dataReaderOf } from "../../overlay/data/data-reader.ts";
import { type Attributes, FsError, RENAME_EXCHANGE } from "../../vfs/filesystem.ts";
import { openVfs } from "../../vfs/open-vfs.ts";
import { filledOperation, type Operation } from "./scenario.ts";
import { SimulatedDisk } from "../disks/simulated-disk.ts";
import { CALLER, VfsDriver } from "../vfs-driver.ts";

export class ScenarioWriter {
  readonly #context: RebaseContext;
  readonly #disk = new SimulatedDisk();
  readonly #driver: VfsDriver;
  readonly #trees: Cid[];
  #seq: Lamport;
  #epoch = 0;

  /** Starts from `tree`. `startNs` is the clock's first time: writers with different ones never write the same mtime. */
  constructor(context: RebaseContext, tree: Cid, startNs: bigint) {
    this.#context = context;
    this.#trees = [tree];
    this.#seq = 1 as Lamport;
    const base = { commit: commitOf(this.#seq), tree, seq: this.#seq };
    const { blocks } = context;
    const clock = countingClock(startNs);
    this.#driver = new VfsDriver(
      openVfs({ storage: this.#disk, blocks, clock, base, log: silentLog, limits: { segmentBytes: SEGMENT_BYTES } }),
    );
  }

  /** Plays all operations but those that a filesystem refuses. Returns the resulting tree and the number of epochs. */
  async play(operations: readonly Operation[]): Promise<{ tree: Cid; epoch: number }> {
    for (const operation of operations) {
      if (operation.op === "commit") await this.#commit();
      else await this.#apply(filledOperation(operation));
    }
    await this.#commit();
    return { tree: this.#tree, epoch: this.#epoch };
  }

  get #tree(): Cid {
    return this.#trees[0] ?? commitOf(0);
  }

  async #apply(operation: Operation): Promise<void> {
    try {
      await this.#attempt(operation);
    } catch (error) {
      if (!(error instanceof FsError)) throw error;
    }
  }

  async #attempt(operation: Operation): Promise<void> {
    const driver = this.#driver;
    if (operation.op === "commit" || !(await this.#hasParent(operation.path))) return;
    const { path } = operation;
    const [parent, name] = await driver.place(path);
    const found = await driver.find(path);
    switch (operation.op) {
      case "write":
        return this.#write(path, found, operation.content, 0);
      case "append":
        return this.#write(path, found, operation.content, found?.size ?? 0);
      case "mkdir":
        return void (await driver.makeDirectory(path));
      case "symlink": {
        const target = nameFromText(operation.target);
        return void (await driver.run((vfs) => vfs.makeSymlink(parent, name, target, CALLER)));
      }
      case "chmod": {
        const { mode } = operation;
        if (found === undefined || typeOf(found) === S_IFLNK) return;
        return void (await driver.run((vfs) => vfs.setAttributes(found.ino, { mode })));
      }
      case "chown": {
        const { uid, gid } = operation;
        return found && void (await driver.run((vfs) => vfs.setAttributes(found.ino, { uid, gid })));
      }
      case "utimes": {
        const mtimeNs = BigInt(operation.mtime) * NS_PER_S;
        return found && void (await driver.run((vfs) => vfs.setAttributes(found.ino, { mtimeNs })));
      }
      case "setxattr": {
        const value = Buffer.from(operation.value, "utf8");
        return found && driver.run((vfs) => vfs.setXattr(found.ino, operation.name, value, 0));
      }
      case "unlink":
        return driver.unlink(path);
      case "rmdir":
        return driver.run((vfs) => vfs.removeDirectory(parent, name));
      case "rmtree":
        if (found === undefined) return undefined;
        return typeOf(found) === S_IFDIR ? this.#removeAll(path) : driver.unlink(path);
      case "link":
      case "rename":
      case "exchange":
        return this.#place(operation.op, path, found, operation.to);
    }
  }

  async #place(op: "link" | "rename" | "exchange", path: string, found: Attributes | undefined, to: string) {
    if (found === undefined || !(await this.#hasParent(to))) return;
    if (op !== "link") return this.#driver.rename(path, to, op === "exchange" ? RENAME_EXCHANGE : 0);
    const [parent, name] = await this.#driver.place(to);
    await this.#driver.run((vfs) => vfs.link(found.ino, parent, name));
  }

  async #write(path: string, found: Attributes | undefined, content: string, offset: number): Promise<void> {
    if (found !== undefined && typeOf(found) !== S_IFREG) return;
    const ino = found?.ino ?? (await this.#driver.make(path));
    if (offset === 0) await this.#driver.run((vfs) => vfs.setAttributes(ino, { size: 0, mtimeNs: "now" }));
    await this.#driver.write(ino, offset, content);
  }

  async #removeAll(path: string): Promise<void> {
    const driver = this.#driver;
    const [parent, name] = await driver.place(path);
    for (const entry of await driver.entriesOf(await driver.ino(path))) {
      if (entry.isDirectory) await this.#removeAll(`${path}/${entry.name}`);
      else await driver.unlink(`${path}/${entry.name}`);
    }
    await driver.run((vfs) => vfs.removeDirectory(parent, name));
  }

  async #hasParent(path: string): Promise<boolean> {
    const parent = await this.#driver.find(path.split("/").slice(0, -1).join("/"));
    return parent !== undefined && typeOf(parent) === S_IFDIR;
  }

  /** Seals the changes, builds their tree, and makes it the base. */
  async #commit(): Promise<void> {
    const { vfs } = this.#driver;
    const changes = vfs.seal();
    this.#epoch++;
    if (changes === undefined) return;
    await vfs.sync();
    const older = this.#trees;
    const context = {
      ...this.#context,
      olderTrees: async function* () {
        yield* older;
      },
    };
    const { ours, objects, unseen } = await rebaseEpoch(context, this.#tree, changes, dataReaderOf(this.#disk));
    this.#trees.unshift(ours);
    this.#seq = (this.#seq + 1) as Lamport;
    const base = { commit: commitOf(this.#seq), tree: ours, seq: this.#seq, changes: unseen };
    vfs.published({ epoch: changes.epoch, objects, base });
  }
}

/** Stands in for a commit's CID: only trees matter here. */
function commitOf(seq: number): Cid {
  return cidOf("dag-cbor", Buffer.from(`commit ${seq}`));
}

/** Each reading advances the clock by 1 ns; sleeping is an error. */
function countingClock(startNs: bigint): Clock {
  let ns = startNs;
  return {
    nowNs: () => ++ns,
    monotonicMs: () => Number((ns - startNs) / 1_000_000n),
    sleep: () => Promise.reject(new SynclineError("internal", "A scenario must not wait.")),
    after: () => ({ [Symbol.dispose]: () => {} }),
  };
}

function typeOf({ mode }: Attributes): number {
  return mode & S_IFMT;
}

/** A journal fills its segments with zeros ahead of use; a scenario writes a few KiB. */
const SEGMENT_BYTES = 64 * 1024;
const NS_PER_S = 1_000_000_000n;
const S_IFMT = 0o170000;
const S_IFDIR = 0o040000;
const S_IFREG = 0o100000;
const S_IFLNK = 0o120000;
