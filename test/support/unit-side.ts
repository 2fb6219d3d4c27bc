/** One of two agents that write in one repository and one database, and what is in its units by what was done there. */
import * as fc from "fast-check";
import type { Ino } from "../../src/base/ids.ts";
import { filesOf, pathOf, write } from "./unit-world.ts";
import type { SimulatedAgent } from "./simulated-agent.ts";

export const BASE = {
  "app.db": "base",
  "app.db-wal": "base",
  "app.db-shm": "base",
  ".git/head": "base",
  ".git/objects/base": "base",
  ".git/objects/pack/base": "base",
};
/** What may come and go; a main file and a head are always there. */
const NAMES = [
  "app.db-wal",
  "app.db-shm",
  "app.db-journal",
  ".git/index",
  ".git/objects/base",
  ".git/objects/new",
  ".git/objects/pack/base",
  ".git/objects/pack/new",
  ".git/refs/new",
];
const name = fc.constantFrom(...NAMES);
const action = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant("write" as const),
      path: fc.constantFrom("app.db", ".git/head", ...NAMES),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("remove" as const), path: name }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("rename" as const), path: name, to: name }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant("replace" as const),
      path: fc.constantFrom("app.db", ".git/head", ...NAMES),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("look" as const) }) },
);
export const actions = fc.array(action, { minLength: 1, maxLength: 6 });
export type Action = typeof action extends fc.Arbitrary<infer Value> ? Value : never;

export class Side {
  readonly #agent: SimulatedAgent;
  readonly #who: string;
  readonly #files = new Map<string, string>(Object.entries(BASE));
  #open: { readonly database: Ino; readonly repository: Ino } | undefined;
  /** Where the units are now. */
  #database = "app.db";
  #repository = ".git";
  #count = 0;

  constructor(agent: SimulatedAgent, who: string) {
    this.#agent = agent;
    this.#who = who;
  }

  get files(): Record<string, string> {
    return Object.fromEntries(this.#files);
  }

  /** Remembers its units by inode number, as open files do. */
  async open(): Promise<void> {
    const [database, repository] = [await this.#agent.mount.stat("app.db"), await this.#agent.mount.stat(".git")];
    this.#open = { database: database.ino, repository: repository.ino };
  }

  async follow(): Promise<void> {
    if (this.#open === undefined) return;
    this.#database = (await pathOf(this.#agent, this.#open.database)).slice(1);
    this.#repository = (await pathOf(this.#agent, this.#open.repository)).slice(1);
  }

  async play(actions: readonly Action[]): Promise<void> {
    for (const action of actions) await this.#do(action);
  }

  async #do(action: Action): Promise<void> {
    const { mount } = this.#agent;
    switch (action.kind) {
      case "look":
        // Gives inode numbers to unchanged files, too.
        return void (await filesOf({ mount }));
      case "write":
        return this.#write(action.path, this.#at(action.path));
      case "replace":
        await this.#write(action.path, `${this.#who}.new`);
        await this.#makeDirectory(action.path);
        return mount.rename(`${this.#who}.new`, this.#at(action.path));
      case "remove":
        if (this.#files.delete(action.path)) await mount.unlink(this.#at(action.path));
        return;
      case "rename": {
        const text = this.#files.get(action.path);
        const isWithin = action.path.startsWith(".git") === action.to.startsWith(".git");
        if (text === undefined || !isWithin || action.path === action.to) return;
        this.#files.delete(action.path);
        this.#files.set(action.to, text);
        await this.#makeDirectory(action.to);
        return mount.rename(this.#at(action.path), this.#at(action.to));
      }
    }
  }

  async #write(path: string, at: string): Promise<void> {
    const text = `${this.#who} ${++this.#count}`;
    this.#files.set(path, text);
    await write(this.#agent, { [at]: text });
  }

  async #makeDirectory(path: string): Promise<void> {
    const at = this.#at(path);
    const directory = at.slice(0, Math.max(at.lastIndexOf("/"), 0));
    if (directory !== "" && (await this.#agent.mount.show(directory)) === undefined)
      await this.#agent.mount.makeDirectory(directory);
  }

  #at(path: string): string {
    return path.replace(/^app\.db/, this.#database).replace(/^\.git/, this.#repository);
  }
}
