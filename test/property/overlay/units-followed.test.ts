/**
 * Two agents write in one repository and one database; the second one goes on while his epoch is on its way, over restarts and deaths: each
 * side's unit is in the end what it wrote, once. SYNCLINE_TEST_ALL: as for merge-laws.
 */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import type { Ino } from "../../../src/base/ids.ts";
import { PATIENCE_MS, runs } from "../../support/law-suite.ts";
import { filesOf, inOrder, pathOf, sorted, whileSwapping, world, write } from "../../support/unit-world.ts";
import type { SimulatedAgent } from "../../support/simulated-agent.ts";

const BASE = {
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
const actions = fc.array(action, { minLength: 1, maxLength: 6 });
/** Which of the units the epoch has a part of; of the others something is written while it is on its way. */
const parts = fc.subarray(["app.db", ".git"]);
const way = fc.constantFrom("swap", "death", "death and others", "restart", "restart and death");

test(
  "whatever is written before, while and after part of a unit is published, each side's unit stays whole",
  async () => {
    const history = fc.record({
      way,
      parts,
      early: actions,
      theirs: actions,
      late: actions,
      last: actions,
      first: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(history, async (told) => {
        const { remote, a, b, start, settle } = await world(told.first ? { a: 12, b: 11 } : { a: 11, b: 12 });
        await start(BASE);
        const [sideA, sideB] = [new Side(a, "a"), new Side(b, "b")];
        const offline = told.way.startsWith("restart");
        remote.unreachable = offline;
        const isEarly = (action: Action) => "path" in action && told.parts.some((part) => action.path.startsWith(part));
        await write(b, { [`${told.way} b`]: "b" });
        await sideB.play([...BOTH, ...told.early].filter(isEarly));
        if (offline) {
          await b.flush();
          remote.unreachable = false;
          await b.restart();
        }
        await sideA.play([...BOTH, ...told.theirs]);
        await a.flush();
        if (told.way.includes("death")) remote.faults.push("committed-unseen");
        await whileSwapping(remote, b, async () => {
          await sideB.play([...BOTH.filter((action) => !isEarly(action)), ...told.late]);
          await sideB.open();
          remote.unreachable = told.way.includes("death");
        });
        remote.unreachable = false;
        if (told.way === "death and others") {
          await write(a, { note: "a" });
          await a.flush();
        }
        if (told.way.includes("death")) await b.restart();
        await sideB.follow();
        await sideB.play(told.last);
        const { databases, repositories } = await settle();
        const wanted = [sideA.files, sideB.files].map(sorted);
        expect(databases).toEqual(inOrder(wanted.flatMap((side) => side.databases)));
        expect(repositories).toEqual(inOrder(wanted.flatMap((side) => side.repositories)));
      }),
      { numRuns: runs(12) },
    );
  },
  PATIENCE_MS,
);

/** So that each side has changed both. */
const BOTH = [
  { kind: "write", path: "app.db" },
  { kind: "write", path: ".git/head" },
] as const;

type Action = typeof action extends fc.Arbitrary<infer Value> ? Value : never;

/** An agent, and what is in its units by what was done there. */
class Side {
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

  /** Goes on with what it has open, wherever that is. */
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
        // Numbers of what did not change, too.
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
