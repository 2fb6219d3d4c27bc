/**
 * SQLite databases in memory. Committed changes survive a kill. They survive power loss once durable: at once with
 * `synchronous = FULL`, otherwise after a checkpoint or on closing.
 */
import Database from "better-sqlite3";
import type { Random } from "../../base/random.ts";
import type { Databases } from "../../objects/databases.ts";

export class SimulatedDatabases implements Databases {
  readonly #files: Map<string, StoredDatabase>;
  #isFull = false;

  constructor(files: Map<string, StoredDatabase> = new Map()) {
    this.#files = files;
  }

  readonly lock = () => ({ [Symbol.dispose]: () => {} });

  open(path: string): Database.Database {
    if (path === "") return new Database(":memory:");
    const file = this.#files.get(path) ?? new StoredDatabase();
    this.#files.set(path, file);
    return file.open(this.#isFull);
  }

  exists(path: string): boolean {
    return this.#files.has(path);
  }

  remove(path: string): void {
    this.#files.get(path)?.end();
    this.#files.delete(path);
  }

  /** While full, no database can grow. */
  fill(isFull: boolean): void {
    this.#isFull = isFull;
    for (const file of this.#files.values()) file.fill(isFull);
  }

  copy(): SimulatedDatabases {
    return this.#with((file) => new StoredDatabase(file.bytes, file.durable));
  }

  /** The databases as a new process finds them; these are closed. */
  afterKill(): SimulatedDatabases {
    const left = this.copy();
    this.close();
    return left;
  }

  afterPowerLoss(random: Random): SimulatedDatabases {
    const left = this.#with((file) => {
      const bytes = random.fraction() < 0.5 ? file.bytes : file.durable;
      return bytes && new StoredDatabase(bytes, bytes);
    });
    this.close();
    return left;
  }

  close(): void {
    for (const file of this.#files.values()) file.end();
  }

  #with(change: (file: StoredDatabase) => StoredDatabase | undefined): SimulatedDatabases {
    const files = new Map<string, StoredDatabase>();
    for (const [path, file] of this.#files) {
      const changed = change(file);
      if (changed !== undefined) files.set(path, changed);
    }
    return new SimulatedDatabases(files);
  }
}

/** The database at a path, open or not. */
class StoredDatabase {
  /** The contents as of the last checkpoint. */
  #checkpoint: Buffer | undefined;
  /** Whether each commit is durable at once. */
  #isSynced = false;
  #bytes: Buffer | undefined;
  #open: SimulatedDatabase | undefined;

  constructor(bytes?: Buffer, durable?: Buffer) {
    this.#bytes = bytes;
    this.#checkpoint = durable;
  }

  get durable(): Buffer | undefined {
    return this.#isSynced ? this.bytes : this.#checkpoint;
  }

  get bytes(): Buffer | undefined {
    return this.#open?.open === true ? this.#open.serialize() : this.#bytes;
  }

  open(isFull: boolean): Database.Database {
    if (this.#open?.open === true) throw new Database.SqliteError("database is locked", "SQLITE_BUSY");
    const opened = new SimulatedDatabase(this.#bytes, {
      synced: (isSynced) => void (this.#isSynced = isSynced),
      checkpointed: (bytes) => void (this.#checkpoint = bytes),
      closed: (bytes) => void (this.#checkpoint = this.#bytes = bytes),
    });
    this.#open = opened;
    this.fill(isFull);
    return opened;
  }

  fill(isFull: boolean): void {
    if (this.#open?.open !== true) return;
    const pages = isFull ? this.#open.pragma("page_count", { simple: true }) : MOST_PAGES;
    this.#open.pragma(`max_page_count = ${String(pages)}`);
  }

  /** Its process is dead: stops all writing. */
  end(): void {
    this.#bytes = this.bytes;
    this.#open?.abandon();
    this.#open = undefined;
  }
}

interface Events {
  readonly synced: (isSynced: boolean) => void;
  readonly checkpointed: (bytes: Buffer) => void;
  readonly closed: (bytes: Buffer) => void;
}

class SimulatedDatabase extends Database {
  readonly #events: Events;

  constructor(bytes: Buffer | undefined, events: Events) {
    super(bytes ?? ":memory:");
    this.#events = events;
  }

  override pragma(source: string, options?: Database.PragmaOptions): unknown {
    const result: unknown = super.pragma(source, options);
    const synchronous = /^synchronous = (\w+)$/.exec(source)?.[1];
    if (synchronous !== undefined) this.#events.synced(synchronous === "FULL");
    if (source.startsWith("wal_checkpoint")) this.#events.checkpointed(this.serialize());
    return result;
  }

  override close(): this {
    if (this.open) this.#events.closed(this.serialize());
    return super.close();
  }

  abandon(): void {
    super.close();
  }
}

/** SQLite's limit: https://www.sqlite.org/limits.html */
const MOST_PAGES = 4_294_967_294;
