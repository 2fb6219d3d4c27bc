/** The names of the machines that write to a bucket, as their commits give them. Names are claims: a device chooses its own. */
import type { WriterId } from "../base/ids.ts";
import type { VerifiedCommit } from "./verified-commit.ts";
import { log, type Commits } from "./history.ts";

/** Looks names up in history, newest commits first, and remembers those that it came by. */
export class MachineNames {
  readonly #known = new Map<WriterId, string | undefined>();
  readonly #history: AsyncGenerator<VerifiedCommit>;
  #left: number;
  #reading: Promise<unknown> = Promise.resolve();

  /** Looks at `most` commits at the most. */
  constructor(commits: Commits, head: VerifiedCommit, most = MOST_COMMITS) {
    this.#left = most;
    this.#history = log(commits, head);
  }

  /** The name in the writer's newest commit; undefined where that gives none, or no commit of the writer is among the newest. */
  async of(writer: WriterId): Promise<string | undefined> {
    // One reader of the history at a time.
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

/** A commit's signature is checked as it is read: this many take about a second. */
const MOST_COMMITS = 1_000;
/** Who was in the way of a merge published just now. */
const RECENT_COMMITS = 50;

/** Names for the writers of a merge that was just published; "" for one that gives none. Never fails: a name is not worth an error. */
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
