/**
 * The text files that a command reads before its work begins: config.toml, and files that options name. A mount keeps their
 * texts in its state, for an agent that takes the mount over: by then, a file may be edited, moved or out of reach.
 */
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { orElse, unlessSync } from "../base/unless.ts";
import { readStateFile, writeStateFile } from "../agent/state/state-file.ts";
import { describeError, type Log } from "../base/log.ts";

/** The file in a state that holds the texts. */
const START_FILES = "start-files.json";

/** Texts by path, as the command names it. Null: there was no such file. */
type Texts = ReadonlyMap<string, string | null>;

export class StartFiles {
  /** The texts are those that an earlier agent read. */
  readonly areKept: boolean;
  readonly #texts: Map<string, string | null>;

  /** `kept`: what an earlier agent read. */
  constructor(kept?: Texts) {
    this.areKept = kept !== undefined;
    this.#texts = new Map(kept);
  }

  /** Each file is read once. Undefined if there is no such file. Throws the system's error. */
  read(path: string): string | undefined {
    const known = this.#texts.get(path);
    if (known !== undefined) return known ?? undefined;
    const text = readIfThere(path);
    this.#texts.set(path, text ?? null);
    return text;
  }

  /** Writes what was read into a mount's state. If that fails, the log says so, and what another mount kept is removed. */
  keep(stateDir: string, isNewMount: boolean, log: Log): void {
    if (this.areKept) return;
    const path = join(stateDir, START_FILES);
    try {
      writeStateFile(path, Buffer.from(JSON.stringify(Object.fromEntries(this.#texts))));
    } catch (error) {
      log.warn(`Later agents of this mount may need its configuration files: ${describeError(error)}`);
      if (isNewMount) removeIfPossible(path);
    }
  }
}

/** What the last agent of a mount read. Files that it did not read, or could not keep, are read from the disk. */
export function keptStartFiles(stateDir: string): StartFiles {
  return new StartFiles(parseStartFiles(readStateFile(join(stateDir, START_FILES))?.toString("utf8") ?? ""));
}

/** Empty if invalid. */
export function parseStartFiles(text: string): Texts {
  return orElse(new Map(), () => {
    const texts = Object.entries(JSON.parse(text) as Record<string, unknown>);
    return new Map(texts.filter((each): each is [string, string | null] => each[1] === null || isText(each[1])));
  });
}

function removeIfPossible(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {}
}

function isText(value: unknown): value is string {
  return typeof value === "string";
}

function readIfThere(path: string): string | undefined {
  return unlessSync("ENOENT", () => readFileSync(path, "utf8"));
}
