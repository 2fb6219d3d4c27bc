/** A real master (dist/) in a separate process on its own port, for tests that talk to it. */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { createInterface } from "node:readline";
import type { MasterConnection } from "../../src/net/master-connection.ts";
import { walletSigner } from "../../src/crypto/wallet.ts";
import { connectTo } from "./history-access.ts";
import { HISTORY_KEY } from "./signed-history.ts";
import { temporaryFolder } from "./temporary-folder.ts";

const main = resolve(import.meta.dirname, "../../dist/main.js");

export class MasterProcess {
  readonly data: string;
  #child: ChildProcess | undefined;
  #origin = "";
  #buckets = 0;

  private constructor(data: string) {
    this.data = data;
  }

  /** Starts a master that allows the wallet of `HISTORY_KEY`, among others. */
  static async start(...args: string[]): Promise<MasterProcess> {
    if (!existsSync(main)) throw new Error("dist/ is not there: run npm run build.");
    const master = new MasterProcess(await temporaryFolder());
    await master.run("127.0.0.1:0", args);
    return master;
  }

  /** For example "http://127.0.0.1:3600"; the same after `restart`. */
  get origin(): string {
    return this.#origin;
  }

  /** Starts it (again) over the same data. */
  run(listen: string, args: readonly string[] = []): Promise<void> {
    return this.serve(listen, ["--allow", walletSigner(HISTORY_KEY).wallet, ...args]);
  }

  /** As `run`, but `args` say which wallets are allowed. */
  async serve(listen: string, args: readonly string[]): Promise<void> {
    const options = ["serve", "--data", this.data, "--listen", listen, "--json", ...args];
    const child = spawn(process.execPath, [main, ...options], { stdio: ["ignore", "pipe", "inherit"] });
    this.#child = child;
    for await (const line of createInterface({ input: child.stdout })) {
      this.#origin = (JSON.parse(line) as { origin: string }).origin;
      return;
    }
    throw new Error(`the master ended with status ${child.exitCode}`);
  }

  async end(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill(signal);
    await ended;
  }

  /** Ends it with this signal and restarts it at the same address. */
  async restart(signal: NodeJS.Signals): Promise<void> {
    await this.end(signal);
    await this.run(new URL(this.#origin).host);
  }

  /** The address of a new bucket. */
  newBucket(): string {
    return `${this.#origin}/bucket-${++this.#buckets}`;
  }

  connect(): MasterConnection {
    return connectTo(this.#origin);
  }
}
