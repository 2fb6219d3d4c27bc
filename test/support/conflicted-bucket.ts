/** A bucket in a folder, two writers with conflicting edits, and the program's commands on it. */
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { openCommandWriter, requirePublished } from "../../src/agent/command-writer.ts";
import { systemClock } from "../../src/base/clock.ts";
import { silentLog } from "../../src/base/log.ts";
import { systemRandom } from "../../src/base/random.ts";
import { openRemote } from "../../src/bucket/open-remote.ts";
import type { BucketWriter } from "../../src/bucket/writer.ts";
import { sourceOfBytes } from "../../src/bucket/writer/file-source.ts";
import { commandsFor } from "../../src/cli/commands.ts";
import { runCommandLine } from "../../src/cli/program.ts";
import { name } from "./epochs.ts";
import { createFakeRuntime, type FakeRuntime } from "./fake-runtime.ts";
import { createBucket, OWNER, pathsOf } from "./test-bucket.ts";
import { temporaryFolder } from "./temporary-folder.ts";

const ports = { clock: systemClock, random: systemRandom };

/** The machine's name in the writers' commits. */
export const MACHINE = "laptop";

export type Edit = (writer: BucketWriter) => Promise<unknown>;

export class ConflictedBucket {
  readonly address: string;
  readonly #states: string;

  private constructor(folder: string) {
    this.address = pathToFileURL(join(folder, "bucket")).href;
    this.#states = join(folder, "states");
  }

  static async create(): Promise<ConflictedBucket> {
    const bucket = new ConflictedBucket(await temporaryFolder());
    await using remote = await openRemote(bucket.address, ports);
    await createBucket(remote);
    return bucket;
  }

  /** All edits begin with the same root, and are published one after the other. Returns the roots. */
  async edit(...edits: readonly Edit[]): Promise<string[]> {
    const sessions = await Promise.all(edits.map(() => this.#open()));
    const roots: string[] = [];
    for (const [index, edit] of edits.entries()) {
      const session = sessions[index];
      if (session === undefined) continue;
      await edit(session.writer);
      roots.push(requirePublished(await session.writer.publish()).root.commit);
    }
    for (const session of sessions) await session[Symbol.asyncDispose]();
    return roots;
  }

  async paths(): Promise<Record<string, string>> {
    await using session = await this.#open();
    return pathsOf(session.bucket, session.writer.base.body.tree);
  }

  run(...args: string[]) {
    return this.#run(args, this.#states, { environmentKey: "07".repeat(32) });
  }

  /** Runs a command in a runtime of which `given` replaces parts. */
  runWith(given: Partial<FakeRuntime>, ...args: string[]) {
    return this.#run(args, this.#states, { environmentKey: "07".repeat(32) }, {}, given);
  }

  /** Runs a command without key and state; if it made any, they would be in `folder`. */
  runKeyless(folder: string, ...args: string[]) {
    return this.#run(args, join(folder, "states"), {}, { XDG_CONFIG_HOME: join(folder, "config") });
  }

  async #run(
    args: readonly string[],
    states: string,
    key: { environmentKey?: string },
    env: NodeJS.ProcessEnv = {},
    given: Partial<FakeRuntime> = {},
  ) {
    const runtime = { ...createFakeRuntime(env, key), ...given };
    const status = await runCommandLine([...args, "--state", states], runtime, await commandsFor(args), "1.2.3");
    const out = runtime.out();
    return { status, out, err: runtime.err(), lines: out.split("\n").filter((line) => line !== "") };
  }

  /** Returns what a command printed with --json, one value per line. */
  async json(...args: string[]): Promise<Record<string, unknown>[]> {
    const { status, lines, err } = await this.run(...args, "--json");
    if (status !== 0) throw new Error(`${args.join(" ")} ended with ${status}: ${err}`);
    return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  #open() {
    const access = { stateRoot: this.#states, wallet: async () => OWNER };
    return openCommandWriter({ address: this.address, machine: MACHINE, ...access, ...ports, log: silentLog });
  }
}

export function write(path: string, text: string): Edit {
  const names = path.split("/").map(name);
  const attributes = { mode: 0o644, uid: 0, gid: 0 };
  return (writer) => writer.putFile(names, sourceOfBytes(Buffer.from(text)), attributes);
}
