/** Commands on a bucket in a folder, as one machine runs them. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pathToFileURL } from "node:url";
import { commandsFor } from "../../src/cli/commands.ts";
import { runCommandLine } from "../../src/cli/program.ts";
import { createFakeRuntime } from "./fake-runtime.ts";
import { temporaryFolder } from "./temporary-folder.ts";

export interface Ended {
  readonly status: number;
  readonly out: string;
  readonly err: string;
}

export class CommandWorld {
  readonly folder: string;
  /** The bucket's address. */
  readonly address: string;
  /** The folder of all states. */
  readonly states: string;

  private constructor(folder: string) {
    this.folder = folder;
    this.address = pathToFileURL(join(folder, "bucket")).href;
    this.states = join(folder, "states");
  }

  /** `files`: paths in the bucket, each with its path as its text. */
  static async create(...files: readonly string[]): Promise<CommandWorld> {
    const world = new CommandWorld(await temporaryFolder());
    await world.done("init", world.address);
    for (const path of files) {
      writeFileSync(join(world.folder, "source"), path);
      await world.done("put", join(world.folder, "source"), `${world.address}/${path}`);
    }
    return world;
  }

  /** Runs a command with --json. */
  run(...args: readonly string[]): Promise<Ended> {
    return this.runReading(async function* () {}, ...args);
  }

  /** As `run`. `input` makes the standard input, and may act while the command reads it. */
  async runReading(input: () => AsyncIterable<Buffer>, ...args: readonly string[]): Promise<Ended> {
    const fake = createFakeRuntime({}, { environmentKey: "42".repeat(32) });
    const runtime = { ...fake, stdin: Object.assign(Readable.from(input()), { isTTY: false }) };
    const line = [...args, "--state", this.states, "--json"];
    const status = await runCommandLine(line, runtime, await commandsFor(args), "1.2.3");
    return { status, out: runtime.out(), err: runtime.err() };
  }

  /** The same for one that succeeds; returns what it printed. */
  async done(...args: readonly string[]): Promise<string> {
    const { status, out, err } = await this.run(...args);
    if (status !== 0) throw new Error(`syncline ${args.join(" ")} ended with ${status}: ${err}`);
    return out;
  }

  /** All files of the bucket with their text. */
  async files(): Promise<Record<string, string>> {
    const found: Record<string, string> = {};
    const walk = async (below: string): Promise<void> => {
      const lines = (await this.done("ls", `${this.address}/${below}`)).split("\n").filter((line) => line !== "");
      for (const line of lines) {
        const { name, type } = JSON.parse(line) as { name: string; type: string };
        const path = below === "" ? name : `${below}/${name}`;
        if (type === "directory") await walk(path);
        else found[path] = await this.done("cat", `${this.address}/${path}`);
      }
    };
    await walk("");
    return found;
  }
}
