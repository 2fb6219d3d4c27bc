/** A file that is locked through WebDAV stays as it is here while others change it, and their changes are not lost. */
import { expect, test } from "vitest";
import type { SimulatedAgent } from "../../../support/simulated-agent.ts";
import { treeOf } from "../../../../src/simulate/judges/shown-tree.ts";
import { syncByTrees } from "../../../../src/webdav/sync-source.ts";
import { World } from "../../../support/agents-world.ts";
import { DavServer, MemoryLockStore } from "../../../support/dav-server.ts";
import { ManualClock } from "../../../support/manual-clock.ts";

const SHARED =
  '<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:shared/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockinfo>';
const LOCK_S = 60;
const OLD = "one\ntwo\nthree\nfour\n";
const THEIRS = OLD.replace("one", "ONE");
const MINE = OLD.replace("four", "FOUR");
const BOTH = MINE.replace("one", "ONE");

function must(status: number, expected: readonly number[]): void {
  if (!expected.includes(status)) throw new Error(`The answer is ${status}.`);
}

class Shared implements AsyncDisposable {
  readonly #a: SimulatedAgent;
  readonly #b: SimulatedAgent;
  readonly clock = new ManualClock();
  readonly #locks = new MemoryLockStore();
  #dav: DavServer | undefined;

  private constructor(a: SimulatedAgent, b: SimulatedAgent) {
    this.#a = a;
    this.#b = b;
  }

  /** The door is at the first of two agents. Both have the file. */
  static async with(name: string): Promise<Shared> {
    const [a, b] = (await World.create()).agents;
    if (a === undefined || b === undefined) throw new Error("There are not two agents.");
    await a.mount.create(name, Buffer.from(OLD));
    await a.flush();
    await b.catchUp();
    const shared = new Shared(a, b);
    await shared.open();
    return shared;
  }

  /** Opens the door, which has the locks of an earlier one. */
  async open(): Promise<void> {
    await this.#dav?.[Symbol.asyncDispose]();
    const { vfs } = this.#a;
    const options = { fs: vfs, contentNames: vfs, syncToken: syncByTrees(vfs) };
    this.#dav = await DavServer.start(options, { locks: this.#locks, clock: this.clock });
  }

  /** Kills the agent, and starts it again. */
  async kill(): Promise<void> {
    await this.#a.restart();
    await this.open();
  }

  get dav(): DavServer {
    if (this.#dav === undefined) throw new Error("The door is not open.");
    return this.#dav;
  }

  async lock(name: string): Promise<string> {
    const { status, headers } = await this.dav.send("LOCK", `/${name}`, { timeout: `Second-${LOCK_S}` }, SHARED);
    must(status, [200, 201]);
    return String(headers["lock-token"]);
  }

  async unlock(name: string, token: string): Promise<void> {
    must(await this.dav.status("UNLOCK", `/${name}`, { "lock-token": token }), [204]);
  }

  async put(name: string, token: string, text: string): Promise<void> {
    must(await this.dav.status("PUT", `/${name}`, { if: `(${token})` }, text), [204]);
  }

  async text(name: string): Promise<string> {
    return (await this.dav.send("GET", `/${name}`)).body;
  }

  /** What the first agent's mount shows. */
  async shown(name: string): Promise<string> {
    this.#a.mount.dropCaches();
    return String(await this.#a.mount.readSome(name));
  }

  /** The other agent changes the file, and the first one hears of it. */
  async edit(name: string, text: string): Promise<void> {
    await this.#b.catchUp();
    await this.#b.mount.edit(name, () => ({ offset: 0, bytes: Buffer.from(text) }));
    await this.#b.flush();
    await this.#a.catchUp();
  }

  /** The texts of all files like this one, once the agents agree. */
  async result(stem: string): Promise<string[]> {
    await this.#a.flush();
    await this.#b.catchUp();
    const names = [...(await treeOf(this.#b.mount, "")).keys()].filter((name) => name.startsWith(stem)).sort();
    return Promise.all(names.map(async (name) => String(await this.#b.mount.readSome(name))));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#dav?.[Symbol.asyncDispose]();
  }
}

test.each([
  ["merged, if it is text", "notes.txt", [BOTH]],
  ["kept beside it, if it is not", "doc.odt", [MINE, THEIRS]],
])("what others change in a locked file is %s", async (_how, name, expected) => {
  await using shared = await Shared.with(name);
  const token = await shared.lock(name);
  await shared.edit(name, THEIRS);
  expect(await shared.text(name)).toBe(OLD);
  await shared.put(name, token, MINE);
  expect((await shared.result(name.split(".")[0] ?? "")).sort()).toEqual([...expected].sort());
});

test("each PUT under a lock is a change of the one before", async () => {
  await using shared = await Shared.with("notes.txt");
  const token = await shared.lock("notes.txt");
  await shared.put("notes.txt", token, MINE);
  await shared.result("notes");
  await shared.edit("notes.txt", BOTH);
  expect(await shared.text("notes.txt")).toBe(MINE);
  await shared.put("notes.txt", token, `${MINE}five\n`);
  expect(await shared.result("notes")).toEqual([`${BOTH}five\n`]);
});

test("a file that a LOCK created is held, too", async () => {
  await using shared = await Shared.with("notes.txt");
  const token = await shared.lock("new.txt");
  await shared.put("new.txt", token, OLD);
  await shared.result("new");
  await shared.edit("new.txt", THEIRS);
  await shared.put("new.txt", token, MINE);
  expect(await shared.result("new")).toEqual([BOTH]);
});

test("a file shows what others changed once its last lock has ended: by UNLOCK, or in time without a request", async () => {
  await using shared = await Shared.with("doc.odt");
  const [first, second] = [await shared.lock("doc.odt"), await shared.lock("doc.odt")];
  await shared.edit("doc.odt", THEIRS);
  await shared.unlock("doc.odt", first);
  expect(await shared.shown("doc.odt")).toBe(OLD);
  await shared.unlock("doc.odt", second);
  expect(await shared.shown("doc.odt")).toBe(THEIRS);
  await shared.lock("doc.odt");
  await shared.edit("doc.odt", MINE);
  expect(await shared.shown("doc.odt")).toBe(THEIRS);
  await shared.clock.advance(LOCK_S * 1000);
  expect(await shared.shown("doc.odt")).toBe(MINE);
});

test("a locked file stays as it was when the door opened again", async () => {
  await using shared = await Shared.with("notes.txt");
  const token = await shared.lock("notes.txt");
  await shared.open();
  expect(await shared.text("notes.txt")).toBe(OLD);
  await shared.edit("notes.txt", THEIRS);
  await shared.put("notes.txt", token, MINE);
  expect(await shared.result("notes")).toEqual([BOTH]);
});

test("a lock ends if the agent is killed after others changed its file, and lasts if they did not", async () => {
  await using shared = await Shared.with("notes.txt");
  const [changed, other] = [await shared.lock("notes.txt"), await shared.lock("other")];
  await shared.edit("notes.txt", THEIRS);
  await shared.kill();
  expect(await shared.text("notes.txt")).toBe(THEIRS);
  expect(await shared.dav.status("PUT", "/notes.txt", { if: `(${changed})` }, MINE)).toBe(412);
  await shared.put("other", other, MINE);
});

test("a sync token covers no state that is older in a locked file", async () => {
  await using shared = await Shared.with("doc.odt");
  const sync = async () => {
    const body =
      '<sync-collection xmlns="DAV:"><sync-token/><sync-level>1</sync-level><prop><getetag/></prop></sync-collection>';
    const answer = await shared.dav.send("REPORT", "/", { depth: "0" }, body);
    return /<D:sync-token>urn:syncline:(\w+)/.exec(answer.body)?.[1];
  };
  await shared.result("doc");
  const token = await shared.lock("doc.odt");
  expect(await sync()).toBe("tree");
  await shared.edit("doc.odt", THEIRS);
  expect(await sync()).toBe("unpublished");
  await shared.unlock("doc.odt", token);
  expect(await sync()).toBe("tree");
});
