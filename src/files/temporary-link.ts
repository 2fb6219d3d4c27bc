/** A temporary name for a complete, unnamed file, until it takes its place. */
import type { Ino } from "../base/ids.ts";
import { describeError } from "../base/log.ts";
import type { FileSystem } from "../vfs/filesystem.ts";
import type { ResolvedPath } from "./resolved-path.ts";
import { removeWhole } from "./remove.ts";
import type { Named, TakeoverPorts } from "./takeover.ts";
import { temporaryName } from "./temporary-name.ts";
import type { UnfinishedKey } from "./unfinished.ts";

export class TemporaryLink {
  readonly #ports: TakeoverPorts;
  readonly #ino: Ino;
  #named: Named | undefined;
  #key: UnfinishedKey | undefined;

  constructor(ports: TakeoverPorts, ino: Ino) {
    this.#ports = ports;
    this.#ino = ino;
  }

  get isMade(): boolean {
    return this.#named !== undefined;
  }

  /** Names the file beside `place`. `work` then moves it from there. Call it again while it throws BlockMiss. */
  use(fs: FileSystem, { parent, path }: ResolvedPath, work: (from: Named) => void): void {
    const { unfinished, random } = this.#ports;
    if (this.#named === undefined) {
      const named = { parent, name: temporaryName(random) };
      fs.link(this.#ino, parent, named.name);
      this.#named = named;
    }
    try {
      work(this.#named);
    } catch (error) {
      // The name stays until the call is repeated or undone, and the agent may be killed before that.
      this.#key ??= unfinished.begin({ path: [...path.slice(0, -1), this.#named.name] });
      throw error;
    }
    this.#end();
  }

  /** Removes the name, if it exists. Never rejects. If it fails, the door's next opening removes it. */
  async undo(): Promise<void> {
    if (this.#named === undefined) return;
    const { access, clock, log } = this.#ports;
    const { parent, name } = this.#named;
    try {
      await removeWhole({ access: access.onward(), clock }, parent, name);
      this.#end();
    } catch (error) {
      const what = "could not remove an unfinished file; it keeps a temporary name until the door opens again";
      log.warn(what, { name, error: describeError(error) });
    }
  }

  #end(): void {
    if (this.#key !== undefined) this.#ports.unfinished.end(this.#key);
    this.#named = undefined;
    this.#key = undefined;
  }
}
