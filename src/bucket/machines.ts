/** Names of the machines that write to a bucket, from their commits. Names are claims: a device chooses its own. */
import type { WriterId } from "../base/ids.ts";
import type { VerifiedCommit } from "./verified-commit.ts";
import { log, type Commits } from "./history.ts";

/** Looks names up in history, newest commits first, and remembers all names that it passes. */
export class MachineNames {
  readonly #known = new Map<WriterId, string | undefined>();
  readonly #history: AsyncGenerator<VerifiedCommit>;
  #left: number;
  #reading: Promise<unknown> = Promise.resolve();

  /** Reads at most `most` commits. */
  constructor(commits: Commits, head: VerifiedCommit, most = MOST_COMMITS) {
    this.#left = most;
    this.#history = log(commits, head);
  }

  /** The name in the writer's newest commit; undefined if that has none, or is not among the commits read. */
  async of(writer: WriterId): Promise<string | undefined> {
    // Only one lookup reads the history at a time.
    const found = this.#reading.then(() => this.#find(writer));
    this.#reading = found.catch(() => {});
    return found;
  }

  async #find(writer: WriterId): Promise<string | undefined> {
    while (!this.#known.has(writer) && this.#left > 0) {
      this.#left--;
      const { value: commit, done } = await this.#history.next();
      if (done === true) this.#left = 0;
      else if (!this.#known.has(commit.body.writer)) this.#known.set(commit.body.writer, commit.body.machine);
    }
    return this.#known.get(writer);
  }
}

/** Reading a commit checks its signature: this many take about a second. */
const MOST_COMMITS = 1_000;
/** Enough to find the other writers of a merge published just now. */
const RECENT_COMMITS = 50;

/** Names of the writers in a merge published just now; "" for a writer without one. Never fails: names are optional. */
export async function recentNames(
  commits: Commits,
  head: VerifiedCommit,
  writers: Iterable<WriterId>,
): Promise<ReadonlyMap<WriterId, string>> {
  const names = new MachineNames(commits, head, RECENT_COMMITS);
  const found = new Map<WriterId, string>();
  for (const writer of new Set(writers)) found.set(writer, (await names.of(writer).catch(() => undefined)) ?? "");
  return found;
}
