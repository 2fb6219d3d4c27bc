/** A pool of connections to PostgreSQL, and what its errors say about a statement. */
import { readFileSync } from "node:fs";
import { Client, type ClientBase, type ClientConfig, Pool, type PoolClient } from "pg";
import type { Clock } from "../../base/clock.ts";
import { SynclineError } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import { PasswordMissing, sqlStateOf, StatementFailed } from "./statement-failed.ts";

export type Row = Readonly<Record<string, unknown>>;

/**
 * After STATEMENT_MS the server cancels a statement. If it has not answered a little later, at SILENCE_MS, this end gives up, and
 * does not know the outcome.
 */
const STATEMENT_MS = 5_000;
const SILENCE_MS = 5_500;
const CONNECT_MS = 3_000;
const CONNECTIONS = 8;
const KEEP_ALIVE_MS = 10_000;
/** How long a connection that is closed waits for the server to close it, too. */
const GOODBYE_MS = 1_000;

/**
 * The server drops a connection, with its locks, half a minute after this end has vanished. It also cancels statements that
 * wait too long, as for a lock on a table: it would not notice that this end gave up, so each new attempt would leave another
 * connection waiting, until the server accepts no more.
 */
const SESSION = `SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 4;
  SET statement_timeout = ${STATEMENT_MS}`;

/**
 * If connecting fails, `pg` leaves the socket open: a server that waits a minute for a password would keep this process
 * alive as long. If a certificate cannot be read, the constructor of `pg` throws, which its pool does not expect: here,
 * connecting fails instead.
 */
class SafeClient extends Client {
  readonly #unreadable: Error | undefined;

  constructor(settings: ClientConfig = {}) {
    const unreadable = unreadableFile(settings.connectionString);
    super(unreadable === undefined ? settings : {});
    this.#unreadable = unreadable;
  }

  override connect(): Promise<Client>;
  override connect(callback: (error: Error | null) => void): void;
  override connect(callback?: (error: Error | null) => void): Promise<Client> | void {
    if (callback === undefined) {
      return new Promise((resolve, reject) =>
        this.connect((error) => (error === null ? resolve(this) : reject(error))),
      );
    }
    const unreadable = this.#unreadable;
    if (unreadable !== undefined) return process.nextTick(callback, unreadable);
    super.connect((error: Error | null) => {
      if (error === null) return callback(null);
      this.connection.stream.destroy();
      callback(this.#lacksPassword(error) ? new PasswordMissing(error) : error);
    });
  }

  /** `pg` sends an empty password where the server does not take SCRAM. */
  #lacksPassword(error: Error): boolean {
    return !this.password && (sqlStateOf(error) === "28P01" || error.message.includes("client password must be"));
  }
}

/** Throws StatementFailed wherever it uses the server. */
export class Database implements AsyncDisposable {
  /** Without the password. */
  readonly address: string;
  readonly #url: string;
  readonly #pool: Pool;
  readonly #clock: Clock;
  readonly #log: Log;
  /** All connections that are open. */
  readonly #clients = new Set<Client>();

  /** Throws `bad_address`. */
  constructor(url: string, clock: Clock, log: Log) {
    this.address = withoutPassword(url);
    this.#url = url;
    this.#clock = clock;
    this.#log = log;
    const onConnect = this.#prepare as (client: ClientBase) => void;
    this.#pool = new Pool({ ...this.#settings, max: CONNECTIONS, onConnect, Client: SafeClient });
    this.#pool.on("connect", (client) => this.#opened(client));
    // A connection that breaks while idle; the next call makes another one.
    this.#pool.on("error", (error) => this.#log.warn("a connection to the arbiter broke", { error: error.message }));
  }

  /** `name`: of a statement that is planned once for each connection. */
  async query<Result extends Row>(sql: string, values: readonly unknown[] = [], name?: string): Promise<Result[]> {
    let client: PoolClient;
    try {
      client = await this.#pool.connect();
    } catch (cause) {
      throw this.#notConnected(cause);
    }
    let broken: Error | undefined;
    try {
      return (await client.query<Result>({ text: sql, values: [...values], ...(name && { name }) })).rows;
    } catch (cause) {
      const unchanged = changedNothing(cause);
      // A late answer must not be taken for the next statement's. A new connection may lead from a read-only server to the primary.
      if (!unchanged || sqlStateOf(cause) === READ_ONLY)
        broken = cause instanceof Error ? cause : new Error(String(cause));
      throw new StatementFailed(this.address, cause, unchanged);
    } finally {
      client.release(broken);
    }
  }

  /** A connection of its own, for what lives as long as it; to be closed with `close`. */
  async connection(): Promise<Client> {
    let client: Client | undefined;
    try {
      client = new SafeClient(this.#settings);
      this.#opened(client);
      await client.connect();
      await this.#prepare(client);
      return client;
    } catch (cause) {
      if (client !== undefined) await this.close(client);
      throw this.#notConnected(cause);
    }
  }

  /**
   * Throws `config_invalid` behind a pooler that lets several clients take turns in one session: they would lose their locks,
   * prepared statements and notifications, or get each other's.
   */
  async requireSessions(): Promise<void> {
    const clients: Client[] = [];
    try {
      const sessions = new Set<number>();
      for (let count = 0; count < 2; count++) {
        const client = await this.connection();
        clients.push(client);
        const { rows } = await client.query<{ pid: number }>("SELECT pg_backend_pid() AS pid");
        for (const { pid } of rows) sessions.add(pid);
      }
      if (sessions.size === 2) return;
    } catch (cause) {
      throw this.#notConnected(cause);
    } finally {
      await Promise.all(clients.map((client) => this.close(client)));
    }
    throw new SynclineError("config_invalid", `${this.address} leads to a pooler that shares sessions among clients.`, {
      hint: "Connect to PostgreSQL itself, or set the pooler to pool sessions, not transactions or statements.",
    });
  }

  /** Ends a connection, even if the server is gone without a word. */
  async close(client: Client): Promise<void> {
    using _cut = this.#clock.after(GOODBYE_MS, () => client.connection.stream.destroy());
    await client.end().catch(() => {});
    this.#clients.delete(client);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pool.end();
    await Promise.all([...this.#clients].map((client) => this.close(client)));
  }

  /** Prepares a new connection. Refuses a standby, whose roots may be old: the next connection may reach the primary. */
  readonly #prepare = async (client: ClientBase): Promise<void> => {
    const results = [await client.query<{ standby: boolean }>(`${SESSION}; SELECT pg_is_in_recovery() AS standby`)];
    // Several statements have one result each.
    if (results.flat().at(-1)?.rows[0]?.standby === true)
      throw new StatementFailed(this.address, new Error("it is a standby"), true);
  };

  #notConnected(cause: unknown): StatementFailed {
    return cause instanceof StatementFailed ? cause : new StatementFailed(this.address, cause, true);
  }

  #opened(client: Client): void {
    this.#clients.add(client);
    // A connection may break between two statements: the next one reports it.
    client.on("error", () => {});
    client.on("end", () => this.#clients.delete(client));
  }

  get #settings() {
    return {
      connectionString: this.#url,
      connectionTimeoutMillis: CONNECT_MS,
      query_timeout: SILENCE_MS,
      keepAlive: true,
      keepAliveInitialDelayMillis: KEEP_ALIVE_MS,
      application_name: "syncline",
    };
  }
}

/** Why a file that the address names cannot be read. */
function unreadableFile(url: string | undefined): Error | undefined {
  if (url === undefined) return undefined;
  const { searchParams } = new URL(url);
  try {
    for (const name of ["sslrootcert", "sslcert", "sslkey"]) {
      const path = searchParams.get(name);
      if (path) readFileSync(path);
    }
    return undefined;
  } catch (error) {
    return error as Error;
  }
}

/** Throws `bad_address`. */
export function withoutPassword(url: string): string {
  if (SEVERAL_HOSTS.test(url)) {
    throw new SynclineError("bad_address", "The arbiter's address names several hosts.", {
      hint: "Name one that always leads to the primary: a virtual address, or a proxy such as HAProxy. A standby is never used.",
    });
  }
  if (!/^postgres(ql)?:\/\//.test(url) || !URL.canParse(url)) {
    throw new SynclineError("bad_address", "The arbiter's address is not a postgres:// URL.", {
      hint: "It looks like postgres://user@host:5432/database. Put the password into PGPASSWORD or ~/.pgpass.",
    });
  }
  const parsed = new URL(url);
  parsed.password = "";
  parsed.search = "";
  return parsed.href;
}

/** A comma behind the user and password. */
const SEVERAL_HOSTS = /^postgres(ql)?:\/\/([^/?]*@)?[^/?@]*,[^/?@]*([/?]|$)/;

const READ_ONLY = "25006";
/** Errors that say that a statement was not carried out: https://www.postgresql.org/docs/current/errcodes-appendix.html */
const UNCHANGED = /^(0A|22|23|25|28|3D|3F|40001|40P01|42|53|54|55|57014)/;

function changedNothing(cause: unknown): boolean {
  return UNCHANGED.test(sqlStateOf(cause) ?? "");
}
