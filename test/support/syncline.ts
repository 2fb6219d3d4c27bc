/** Runs the built program (dist/) as processes, each with states, configuration and key of its own. */
import { type ChildProcess, execFileSync, spawn, spawnSync, type StdioOptions } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { StartedProcesses } from "./started-processes.ts";
import { killAgent } from "./supervisor.ts";

const main = resolve(import.meta.dirname, "../../dist/main.js");

export interface Ended {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly bytes: Buffer;
  readonly out: string;
  readonly err: string;
}

export interface RunOptions {
  /** The process's stdin. */
  readonly input?: string | Buffer;
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  readonly stdio?: StdioOptions;
  /** Runs as this user; only where tests run as root. */
  readonly uid?: number;
}

/** A folder for one test file: buckets, sources, states; `dispose` removes it, its mounts and its agents. */
export class Workspace implements Disposable {
  readonly path: string;
  readonly env: NodeJS.ProcessEnv;
  readonly #mounts = new Set<string>();
  readonly #children = new Set<ChildProcess>();
  readonly #agents = new StartedProcesses();

  constructor(name: string) {
    if (!existsSync(main)) throw new Error("dist/ is not there: run npm run build.");
    this.path = mkdtempSync(join(tmpdir(), `syncline-${name}-`));
    const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith("SYNCLINE_"));
    this.env = {
      ...Object.fromEntries(inherited),
      XDG_STATE_HOME: this.at("state"),
      XDG_CONFIG_HOME: this.at("config"),
      SYNCLINE_KEY: "42".repeat(32),
    };
  }

  /** A command as a program and its arguments. */
  static command(...args: string[]): string[] {
    return [process.execPath, main, ...args];
  }

  at(...parts: string[]): string {
    return join(this.path, ...parts);
  }

  url(...parts: string[]): string {
    return pathToFileURL(this.at(...parts)).href;
  }

  /** Runs a command to its end. */
  run(args: readonly string[], options: RunOptions = {}): Ended {
    const { env, ...rest } = options;
    const result = spawnSync(process.execPath, [main, ...args], {
      ...rest,
      ...(rest.uid === undefined ? {} : { gid: rest.uid }),
      env: { ...this.env, ...env },
      maxBuffer: 1 << 28,
    });
    const { status, signal, stdout, stderr } = result;
    return { status, signal, bytes: stdout, out: stdout.toString("utf8"), err: stderr.toString("utf8") };
  }

  /** Runs a command that must succeed; returns its output. */
  do(...args: string[]): string {
    const { status, signal, out, err } = this.run(args);
    if (status !== 0) throw new Error(`syncline ${args.join(" ")} ended with ${status ?? signal}: ${err}${out}`);
    return out;
  }

  /** As `do` with --json: returns the one object printed. */
  json(...args: string[]): Record<string, unknown> {
    return JSON.parse(this.do(...args, "--json")) as Record<string, unknown>;
  }

  /** As `do` with --json: returns the lines printed. */
  lines(...args: string[]): Record<string, unknown>[] {
    const text = this.do(...args, "--json").trimEnd();
    return text === "" ? [] : text.split("\n").map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  /** Starts a command; the workspace ends it at the latest. */
  start(args: readonly string[], options: { env?: NodeJS.ProcessEnv } = {}): ChildProcess {
    const child = spawn(process.execPath, [main, ...args], { env: { ...this.env, ...options.env } });
    this.#children.add(child);
    return child;
  }

  /** Starts commands at the same moment and waits for all. */
  race(commands: readonly (readonly string[])[]): Promise<Ended[]> {
    return Promise.all(commands.map((args) => collect(this.start(args))));
  }

  /** A folder to mount on; any mount left there is detached at the end. */
  mountPoint(name: string): string {
    const path = this.at(name);
    mkdirSync(path);
    this.#mounts.add(path);
    return path;
  }

  /** Mounts in the background; returns the agent's process id. */
  mount(url: string, path: string, ...args: string[]): number {
    return Number(this.behind("mount", url, path, ...args)["pid"]);
  }

  /** Starts an agent in the background and returns its output. The workspace ends it at the latest. */
  behind(...args: string[]): Record<string, unknown> {
    const told = this.json(...args, "--background");
    this.#agents.add(Number(told["pid"]));
    return told;
  }

  status(path: string): Record<string, unknown> {
    const [agent] = this.json("status", path)["agents"] as Record<string, unknown>[];
    if (agent === undefined) throw new Error(`no agent at ${path}`);
    return agent;
  }

  [Symbol.dispose](): void {
    for (const child of this.#children) if (child.exitCode === null) child.kill("SIGKILL");
    for (const pid of this.#agents.running) if (isOurs(pid)) killAgent(pid);
    for (const path of this.#mounts) detach(path);
    rmSync(this.path, { recursive: true, force: true });
  }
}

/** A process's output, once it has ended. */
export async function collect(child: ChildProcess): Promise<Ended> {
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  child.stdout?.on("data", (data: Buffer) => out.push(data));
  child.stderr?.on("data", (data: Buffer) => err.push(data));
  return new Promise((done) =>
    child.once("close", (status, signal) => {
      const bytes = Buffer.concat(out);
      done({ status, signal, bytes, out: bytes.toString("utf8"), err: Buffer.concat(err).toString("utf8") });
    }),
  );
}

/** Whether the process is one of this program's, where `StartedProcesses` cannot tell (macOS). */
function isOurs(pid: number): boolean {
  try {
    return commandLineOf(pid).includes(main);
  } catch {
    return false;
  }
}

function commandLineOf(pid: number): string {
  if (process.platform === "linux") return readFileSync(`/proc/${pid}/cmdline`, "utf8");
  return execFileSync("ps", ["-o", "args=", "-p", String(pid)], { encoding: "utf8" });
}

function detach(path: string): void {
  while (spawnSync("umount", ["-l", path], { stdio: "ignore" }).status === 0);
}
