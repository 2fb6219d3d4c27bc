/** A folder in memory, synced by the code of `syncline sync`. Its process can die, and restarts from what is there. */
import Database from "better-sqlite3";
import { SyncAgent } from "../../agent/folder/sync-agent.ts";
import type { WatchedFolder } from "../../agent/folder/watched-folder.ts";
import { withKnownGenesis } from "../../agent/open-bucket.ts";
import type { SynclineError } from "../../base/errors.ts";
import { silentLog } from "../../base/log.ts";
import { type RetryOptions, RetryReader } from "../../blocks/retry-reader.ts";
import { VerifiedReader } from "../../blocks/verified-reader.ts";
import { Bucket } from "../../bucket/bucket.ts";
import type { Writer } from "../../bucket/publish/next-commit.ts";
import type { SyncDisk } from "../../sync/disk/disk.ts";
import { SyncDatabase } from "../../sync/known/database.ts";
import type { SyncReport } from "../../sync/report.ts";
import type { FolderNotices } from "../../sync/scan/folder-notices.ts";
import type { MachineOptions } from "../machine.ts";
import { SimulatedProcess } from "../process.ts";
import { MemorySyncDisk } from "./memory-sync-disk.ts";
import { mortalDisk } from "./mortal-disk.ts";
import { lastingWriter } from "../lasting-writer.ts";

export interface FolderMachineOptions extends Pick<
  MachineOptions,
  "name" | "timeline" | "random" | "reach" | "certify" | "beginning"
> {
  /** Replaces the agent's view of the disk; undefined: the real disk. */
  readonly seen: ((disk: SyncDisk) => SyncDisk) | undefined;
}

interface Running {
  readonly process: SimulatedProcess;
  readonly agent: SyncAgent;
  readonly watched: WatchedFolder;
}

export class FolderMachine implements Disposable {
  readonly name: string;
  disk: MemorySyncDisk;
  readonly #options: FolderMachineOptions;
  #database = new Database(":memory:");
  #db = new SyncDatabase(this.#database);
  #writer: Writer | undefined;
  #running: Running | undefined;
  #report: SyncReport | undefined;
  #error: SynclineError | undefined;
  #changed: () => void = () => {};
  /** How far a scan has come since the last action. */
  #scan: "none" | "begun" | "ended" = "none";

  constructor(options: FolderMachineOptions) {
    this.name = options.name;
    this.#options = options;
    this.disk = new MemorySyncDisk(() => options.timeline.nowNs());
  }

  get process(): SimulatedProcess | undefined {
    return this.#running?.process;
  }

  /** Why the folder is not at rest on the root; undefined if it is. */
  unrest(root: string | undefined): string | undefined {
    if (this.#running === undefined) return "not running";
    if (this.#error !== undefined) return `${this.#error.code} ${this.#error.message}`;
    if (this.#scan !== "ended") return "its changes were not scanned yet";
    if (this.#report?.root !== root) return `on ${this.#report?.root}`;
    const { left } = this.#report ?? { left: [] };
    if (left.length > 0) return left.map(({ path, why }) => `${path}: ${why}`).join(", ");
    return this.#running.watched.isDrained() ? undefined : "not drained";
  }

  async start(): Promise<void> {
    this.#scan = "none";
    const { timeline, random, certify, beginning, name, seen } = this.#options;
    const process = new SimulatedProcess(timeline, 0);
    const { clock } = process;
    const writer = (this.#writer ??= await certify());
    const local = { held: async () => new Map() };
    const id = () => (this.#writer ?? writer).device.writer;
    const remote = this.#options.reach(process).open({ writer: id, local, pollMs: POLL_MS });
    const forget = () => remote.forgetPlacement?.();
    const doubt: RetryOptions["doubt"] = (cids) => remote.doubt?.(cids);
    const blocks = new RetryReader(new VerifiedReader(remote.blocks), { clock, random, forget, doubt });
    const { genesis, checks } = beginning;
    const bucket = await Bucket.open(withKnownGenesis(remote, genesis.bytes), { blocks, checks });
    const disk = mortalDisk(this.disk, process, random);
    const options = {
      address: remote.address,
      folder: `/${name}`,
      disk: seen === undefined ? disk : seen(disk),
      stateDir: `/state-${name}`,
      pauseDir: `/state-${name}`,
      cacheBytes: 0,
      drainMs: 0,
      special: false,
      clock,
      random,
      log: silentLog,
      progress: () => ({ looking: () => this.#scanBegins(), [Symbol.dispose]: () => {} }),
      watchFolder: (changed: (more: boolean) => void): FolderNotices => {
        this.#changed = () => changed(false);
        return { failure: undefined, rest: () => {}, resume: () => {}, [Symbol.asyncDispose]: async () => {} };
      },
    };
    const replace = async () => (this.#writer = await certify());
    const opened = {
      bucket,
      remote,
      blocks,
      cache: undefined,
      held: local.held,
      pinning: undefined,
      inUse: undefined,
      [Symbol.asyncDispose]: async () => {},
    };
    const lock = { [Symbol.dispose]: () => {} };
    const writing = { opened, writer: lastingWriter(writer, replace) };
    const agent = new SyncAgent(options, writing, this.#db, lock, new AbortController());
    const watched = agent.watch({
      heard: (report) => {
        this.#report = report;
        if (this.#scan === "begun") this.#scan = "ended";
        this.#error = undefined;
      },
      failed: (error) => void (this.#error = error),
    });
    this.#running = { process, agent, watched };
  }

  /** Called after each action in the folder. Some notices get lost; a later full scan finds these changes. */
  noticed(): void {
    this.#scan = "none";
    if (this.#options.random.fraction() >= LOST_NOTICES) this.#changed();
  }

  #scanBegins(): Disposable {
    this.#scan = "begun";
    return { [Symbol.dispose]: () => {} };
  }

  kill(): void {
    this.#running?.process.kill();
    this.#running = undefined;
    this.#report = undefined;
    // SQLite does this when it opens a dead process's database.
    if (this.#database.inTransaction) this.#database.exec("ROLLBACK");
  }

  /** Whether its database is in the middle of a change. */
  get isWriting(): boolean {
    return this.#database.inTransaction;
  }

  /** Makes an image of the database, and of the folder if asked. The result puts it back. */
  snapshot(databaseOnly: boolean): () => void {
    const [bytes, disk, writer] = [this.#database.serialize(), this.disk.copy(), this.#writer];
    return () => {
      this.kill();
      this.#db.close();
      this.#database = new Database(bytes);
      this.#db = new SyncDatabase(this.#database);
      this.#writer = writer;
      if (!databaseOnly) this.disk = disk;
    };
  }

  [Symbol.dispose](): void {
    this.kill();
    this.#db.close();
  }
}

const POLL_MS = 1_000;
const LOST_NOTICES = 0.2;
