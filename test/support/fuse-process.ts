/** Mounts for tests, each served by a separate process, so that a test may block on the mount as any program does. */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm, rmdir, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative, resolve } from "node:path";
import { promisify } from "node:util";
import { expect } from "vitest";
import type { FuseOptions } from "../../src/fuse/options.ts";
import type { Order } from "./fuse-server.ts";

const repository = resolve(import.meta.dirname, "../..");
const addon = join(repository, "native/build/Release/syncline_fuse.node");

/** Why nothing can be mounted here; undefined if mounts work. */
export function whyNoMount(): string | undefined {
  if (process.platform !== "linux") return "mounting needs Linux";
  if (process.getuid?.() !== 0) return "mounting needs root";
  return whyNoAddon();
}

/** Why the addon cannot be tested here; undefined if it can. */
export function whyNoAddon(): string | undefined {
  if (!existsSync("/dev/fuse")) return "there is no /dev/fuse";
  if (!existsSync(addon)) return "the addon is not built: npm run build:native";
  return undefined;
}

/** The server compiled to JavaScript, because Node.js 20 runs no TypeScript. */
export class CompiledServer implements AsyncDisposable {
  readonly #directory: string;
  private constructor(directory: string) {
    this.#directory = directory;
  }

  static async compile(): Promise<CompiledServer> {
    // Inside the package, so that imports resolve, and in the ignored build folder.
    const directory = await mkdtemp(join(repository, "native/build/test-"));
    const up = relative(directory, repository);
    const compilerOptions = { noEmit: false, outDir: ".", rootDir: up, typeRoots: [join(up, "node_modules/@types")] };
    const files = [join(up, "test/support/fuse-server.ts")];
    const config = { extends: join(up, "tsconfig.json"), compilerOptions, include: [], files };
    await writeFile(join(directory, "tsconfig.json"), JSON.stringify(config));
    await run(process.execPath, [join(repository, "node_modules/typescript/bin/tsc"), "-p", directory]);
    return new CompiledServer(directory);
  }

  async mount(options: Partial<FuseOptions> = {}): Promise<FuseProcess> {
    const mountPoint = await mkdtemp(join(tmpdir(), "syncline-mount-"));
    return this.mountAt(mountPoint, options);
  }

  /** Rejects with the server's output if it cannot mount. */
  async mountAt(mountPoint: string, options: Partial<FuseOptions> = {}): Promise<FuseProcess> {
    const server = new FuseProcess(join(this.#directory, "test/support/fuse-server.js"), mountPoint, options);
    await server.ready;
    return server;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#directory, { recursive: true });
  }
}

export class FuseProcess implements AsyncDisposable {
  readonly mountPoint: string;
  readonly ready: Promise<void>;
  /** How the mount ended, as its door reported. */
  readonly ended: Promise<string>;
  readonly exited: Promise<number | null>;
  readonly #process: ChildProcess;
  readonly #answers = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
  #log = "";
  #lastId = 0;

  constructor(script: string, mountPoint: string, options: Partial<FuseOptions>) {
    this.mountPoint = mountPoint;
    this.#process = spawn(process.execPath, ["--enable-source-maps", script, mountPoint, JSON.stringify(options)], {
      stdio: ["ignore", "inherit", "pipe", "ipc"],
    });
    this.#process.stderr?.setEncoding("utf8").on("data", (text: string) => (this.#log += text));
    this.exited = new Promise((done) => this.#process.once("exit", done));
    this.ended = new Promise((done) =>
      this.#process.on("message", (m: Message) => m.event === "ended" && done(m.end ?? "")),
    );
    this.ready = new Promise((done, fail) => {
      this.#process.on("message", (message: Message) => message.event === "ready" && done());
      void this.exited.then(() => fail(new Error(this.#log)));
    });
    this.#process.on("message", (message: Message) => this.#answered(message));
  }

  /** What the server logged so far. */
  get log(): string {
    return this.#log;
  }

  path(...parts: string[]): string {
    return join(this.mountPoint, ...parts);
  }

  tell(order: Order): Promise<unknown> {
    const id = ++this.#lastId;
    return new Promise((done, fail) => {
      this.#answers.set(id, { resolve: done, reject: fail });
      this.#process.send({ id, order });
    });
  }

  kill(signal: NodeJS.Signals): void {
    this.#process.kill(signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#process.exitCode === null && this.#process.signalCode === null) {
      this.kill("SIGTERM");
      await this.exited;
    }
    await run("umount", ["-l", this.mountPoint]).catch(() => {});
    await rmdir(this.mountPoint).catch(() => {});
  }

  #answered(message: Message): void {
    const answer = message.id === undefined ? undefined : this.#answers.get(message.id);
    if (message.error === undefined) answer?.resolve(message.value);
    else answer?.reject(new Error(message.error));
  }
}

interface Message {
  readonly event?: "ready" | "ended";
  readonly end?: string;
  readonly id?: number;
  readonly value?: unknown;
  readonly error?: string;
}

const execute = promisify(execFile);

/** Runs a program to its end and returns its output. Rejects with its error output. */
export async function run(program: string, args: readonly string[], options: { cwd?: string } = {}): Promise<string> {
  const { stdout } = await execute(program, args, { ...options, timeout: 60_000, maxBuffer: 64 << 20 });
  return stdout;
}

/** Runs a shell script that stops at its first failure. */
export function shell(script: string, cwd: string): Promise<string> {
  return run("bash", ["-euo", "pipefail", "-c", script], { cwd });
}

/**
 * Runs a Python script, for system calls that no tool and no Node.js API makes. `os`, `errno` and `ctypes` are imported,
 * libc is available, and `refused(call)` returns the name of the error that a call raises.
 */
export function python(script: string, cwd: string): Promise<string> {
  return run("python3", ["-c", `${PRELUDE}\n${script}`], { cwd });
}

const PRELUDE = `
import ctypes, errno, fcntl, mmap, os, stat, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
def refused(call):
    try:
        call()
    except OSError as error:
        return errno.errorcode[error.errno]
    return "allowed"
def check(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
`;

export function hasCommand(name: string): boolean {
  return (process.env["PATH"] ?? "").split(":").some((directory) => existsSync(join(directory, name)));
}

/** Waits until `claim` holds, for at most ten seconds. */
export async function eventually(claim: () => Promise<void>): Promise<void> {
  await expect.poll(() => claim().then(() => "holds", String), { timeout: 10_000, interval: 20 }).toBe("holds");
}
