/** A filesystem with a `.history`, over roots that another agent publishes; their commits exist only here. */
import { SynclineError } from "../../src/base/errors.ts";
import type { Cid, Lamport } from "../../src/base/ids.ts";
import { silentLog } from "../../src/base/log.ts";
import type { Block } from "../../src/blocks/block-store.ts";
import type { VerifiedCommit } from "../../src/bucket/verified-commit.ts";
import { cidOf } from "../../src/format/blocks/cid.ts";
import { SimulatedDisk } from "../../src/simulate/disks/simulated-disk.ts";
import { VfsDriver } from "../../src/simulate/vfs-driver.ts";
import type { Invalidations } from "../../src/vfs/filesystem.ts";
import { HistoryFs } from "../../src/vfs/history/history-fs.ts";
import { PastNumbers } from "../../src/vfs/history/numbers.ts";
import { openWithObjects } from "../../src/vfs/open-vfs.ts";
import type { Vfs } from "../../src/vfs/vfs.ts";
import { ManualClock } from "./manual-clock.ts";
import { VfsHarness } from "./vfs-harness.ts";

const NO_LIST = cidOf("dag-cbor", Buffer.from("no list"));

export class HistoryHarness extends VfsDriver<HistoryFs> {
  /** Publishes the roots. */
  readonly writer: VfsHarness;
  /** The filesystem without `.history`. */
  readonly live: Vfs;
  readonly clock: ManualClock;
  readonly invalidations: Invalidations[] = [];
  /** Commits that were read. */
  readonly commitsRead: Cid[] = [];
  /** Called before a commit is read. */
  reading: (commit: Cid) => Promise<void> = async () => {};
  readonly #commits: Map<Cid, VerifiedCommit>;
  #last: Cid | undefined;

  private constructor(
    writer: VfsHarness,
    clock: ManualClock,
    parts: {
      fs: HistoryFs;
      live: Vfs;
      commits: Map<Cid, VerifiedCommit>;
      on: (read: (cid: Cid) => Promise<void>) => void;
    },
  ) {
    super(parts.fs);
    this.writer = writer;
    this.clock = clock;
    this.live = parts.live;
    this.#commits = parts.commits;
    parts.on(async (cid) => {
      this.commitsRead.push(cid);
      await this.reading(cid);
    });
    parts.fs.onInvalidate((changes) => this.invalidations.push(changes));
    this.#note(clock.nowNs());
  }

  static async create(
    numbers = new PastNumbers("", false),
    mostChanges?: number,
    oneOwner = false,
  ): Promise<HistoryHarness> {
    const clock = new ManualClock();
    const writer = await VfsHarness.create({}, clock);
    const { blocks, root: base } = writer;
    const { vfs: live, objects } = openWithObjects({
      storage: new SimulatedDisk(),
      blocks,
      base,
      clock,
      log: silentLog,
    });
    const commits = new Map<Cid, VerifiedCommit>();
    let read: (cid: Cid) => Promise<void> = async () => {};
    const bucket = {
      blocks,
      async commit(cid: Cid) {
        await read(cid);
        const commit = commits.get(cid);
        if (commit === undefined) throw new SynclineError("block_not_found", `There is no commit ${cid}.`);
        return commit;
      },
    };
    const fs = new HistoryFs(live, {
      objects,
      numbers,
      commits: bucket,
      clock,
      log: silentLog,
      patienceMs: 1_000,
      mostChanges,
      oneOwner,
    });
    return new HistoryHarness(writer, clock, { fs, live, commits, on: (listener) => void (read = listener) });
  }

  /** The writer publishes changes, a second after the last ones; `at` overrides the commit's time. */
  async publish(work: (writer: VfsHarness) => Promise<unknown>, at?: bigint): Promise<string> {
    await this.clock.advance(1_000);
    await work(this.writer);
    await this.writer.publish();
    this.#note(at ?? this.clock.nowNs());
    this.live.adopt({ ...this.writer.root, changes: undefined });
    this.vfs.moved();
    return new Date(Number((at ?? this.clock.nowNs()) / 1_000_000n)).toISOString();
  }

  /** Removes commits and blocks from the bucket. */
  thin(isGone: (block: Pick<Block, "cid">) => boolean): void {
    for (const cid of this.#commits.keys()) if (isGone({ cid })) this.#commits.delete(cid);
    for (const cid of this.writer.blocks.held.keys()) if (isGone({ cid })) this.writer.blocks.held.delete(cid);
  }

  #note(timeNs: bigint): void {
    const { commit: cid, tree, seq } = this.writer.root;
    // Lists of retained commits do not exist here, so readers follow the parents.
    const body = { tree, seq: seq as Lamport, timeNs, kept: NO_LIST, parent: this.#last };
    this.#commits.set(cid, { cid, body } as unknown as VerifiedCommit);
    this.#last = cid;
  }
}
