/** Signed commits at a master, ready to become roots: for tests of roots alone. */
import { systemClock } from "../../src/base/clock.ts";
import type { Cid } from "../../src/base/ids.ts";
import { HttpBlockStore } from "../../src/blocks/http-block-store.ts";
import type { Master } from "../../src/net/master-connection.ts";
import { SignedHistory } from "./signed-history.ts";

export class SignedCommits {
  readonly #history: SignedHistory;
  readonly #store: HttpBlockStore;

  private constructor(history: SignedHistory, store: HttpBlockStore) {
    this.#history = history;
    this.#store = store;
  }

  /** Stores the blocks that every commit needs. */
  static async open(master: Master): Promise<SignedCommits> {
    const history = await SignedHistory.create();
    const store = new HttpBlockStore(master, systemClock);
    const { commit, blocks } = history.first;
    const all = [commit];
    for await (const block of blocks) all.push(block);
    await store.putMany(all);
    return new SignedCommits(history, store);
  }

  /** Makes a commit for each note, all on top of `parent`, which any writer may have made. */
  async make(notes: readonly string[], parent: Cid | undefined): Promise<Cid[]> {
    if (parent !== undefined) await this.#history.learn(this.#store, parent);
    const made = notes.map((note) => this.#history.next(parent, note));
    await this.#store.putMany(made.flatMap(({ commit, blocks }) => [commit, ...blocks]));
    return made.map(({ commit }) => commit.cid);
  }
}
