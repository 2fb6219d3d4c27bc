/** A real PostgreSQL for tests: Debian's, on a free port, in a folder of its own, as the user postgres. */
import { execFileSync } from "node:child_process";
import { appendFileSync, chmodSync, chownSync, existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";

const HOME = "/usr/lib/postgresql";

/** The folder of its programs; undefined: it is not installed, or there is no user to run it as. */
export function postgresHere(): string | undefined {
  if (!existsSync(HOME) || process.getuid?.() !== 0) return undefined;
  const newest = readdirSync(HOME).toSorted((a, b) => Number(b) - Number(a))[0];
  const bin = newest === undefined ? undefined : join(HOME, newest, "bin");
  return bin !== undefined && existsSync(join(bin, "postgres")) ? bin : undefined;
}

export class PostgresServer implements AsyncDisposable {
  readonly url: string;
  readonly #bin: string;
  #data: string;
  /** Settings of the server, as `name=value`. */
  #settings: readonly string[];
  readonly #host: string;
  readonly #port: number;

  private constructor(bin: string, data: string, host: string, port: number, settings: readonly string[]) {
    this.#bin = bin;
    this.#data = data;
    this.#settings = settings;
    this.#host = host;
    this.#port = port;
    this.url = `postgres://postgres@${host}:${port}/postgres`;
  }

  /** In `folder`, through which the user postgres may pass then. */
  static async start(folder: string, host = "127.0.0.1", settings: readonly string[] = []): Promise<PostgresServer> {
    const bin = postgresHere();
    if (bin === undefined) throw new Error("PostgreSQL is not installed");
    const home = join(folder, "postgres");
    mkdirSync(home, { recursive: true });
    chmodSync(folder, 0o711);
    chownSync(home, idOf("-u"), idOf("-g"));
    const server = new PostgresServer(bin, join(home, "data"), host, await freePort(), settings);
    server.#run("initdb", ["-D", server.#data, "-A", "trust", "--no-instructions", "--no-sync", "-E", "UTF8"]);
    appendFileSync(join(server.#data, "pg_hba.conf"), "host all all samenet trust\n");
    server.start();
    return server;
  }

  get pid(): number {
    return Number(readFileSync(join(this.#data, "postmaster.pid"), "utf8").split("\n")[0]);
  }

  /** Also after it was killed: its processes may take a moment to end. */
  start(): void {
    for (let attempt = 0; ; attempt++) {
      try {
        return this.#start();
      } catch (error) {
        if (attempt === 20) throw error;
      }
    }
  }

  #start(): void {
    const settings = ["unix_socket_directories=", `listen_addresses=${this.#host}`, ...this.#settings];
    const options = [`-p ${this.#port}`, ...settings.map((setting) => `-c "${setting}"`)].join(" ");
    this.#run("pg_ctl", ["-D", this.#data, "-l", join(this.#data, "log"), "-o", options, "-w", "-t", "120", "start"]);
  }

  /** Copies its data into this new folder, as a backup; as a standby of it, if `standby`. */
  backUp(folder: string, standby = false): void {
    const to = ["-h", this.#host, "-p", String(this.#port), "-U", "postgres", "-D", folder, "-c", "fast"];
    this.#run("pg_basebackup", [...to, ...(standby ? ["-R"] : [])]);
  }

  /** A server on a port of its own, for data that `backUp` copied. */
  async standby(data: string): Promise<PostgresServer> {
    const server = new PostgresServer(this.#bin, data, this.#host, await freePort(), []);
    server.start();
    return server;
  }

  promote(): void {
    this.#run("pg_ctl", ["-D", this.#data, "-w", "promote"]);
  }

  /** Goes on with other data, at the same address. It must be stopped. */
  use({ data, settings }: { readonly data: string; readonly settings: readonly string[] }): void {
    this.#data = data;
    this.#settings = settings;
    this.start();
  }

  get data(): string {
    return this.#data;
  }

  /** What it logged. */
  get log(): string {
    return readFileSync(join(this.#data, "log"), "utf8");
  }

  kill(signal: NodeJS.Signals): void {
    process.kill(this.pid, signal);
  }

  /** Ends it and waits: in order with SIGTERM or SIGINT, as a power button with SIGKILL. */
  async stop(signal: NodeJS.Signals): Promise<void> {
    const { pid } = this;
    process.kill(pid, signal === "SIGTERM" ? "SIGINT" : signal);
    while (isAlive(pid)) await new Promise((done) => setTimeout(done, 20));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.end();
  }

  /** At once, also if it has ended already. */
  end(): void {
    try {
      this.#run("pg_ctl", ["-D", this.#data, "-m", "immediate", "-w", "stop"]);
    } catch {
      // It has ended already.
    }
  }

  #run(program: string, args: readonly string[]): void {
    const as = ["--reuid=postgres", "--regid=postgres", "--init-groups", join(this.#bin, program), ...args];
    execFileSync("setpriv", as, { cwd: "/", stdio: ["ignore", "ignore", "inherit"] });
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

function idOf(flag: "-u" | "-g"): number {
  return Number(execFileSync("id", [flag, "postgres"], { encoding: "utf8" }));
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer().once("error", reject);
    probe.listen(0, "127.0.0.1", () => {
      const address = probe.address();
      probe.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0));
    });
  });
}
