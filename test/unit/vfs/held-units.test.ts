/** Databases that programs have open to write while this agent publishes and others have changed them. */
import { describe, expect, test } from "vitest";
import { SynclineError } from "../../../src/base/errors.ts";
import { filesOf, openToWrite, world, write } from "../../support/unit-world.ts";

const DATABASES = Array.from({ length: 8 }, (_, index) => `x${index}/app.db`);
const all = (text: string) =>
  Object.fromEntries(
    DATABASES.flatMap((path) => [
      [path, text],
      [`${path}-wal`, text],
    ]),
  );
/** Enough that a node of the tree holds only a few databases. */
const padding = Object.fromEntries(
  DATABASES.flatMap((_, index) =>
    Array.from({ length: 200 }, (__, at) => [`x${index}/${"n".repeat(60)}${at}`, `${index} ${at}`]),
  ),
);

/** B has others' change of all databases, and of a file that a program there reads, before it when it publishes. */
async function beginning() {
  const agents = await world();
  const { a, b, start } = agents;
  await start({ ...padding, ...all("0000"), "r/read.txt": "read 1" });
  await a.catchUp();
  await filesOf(b);
  const { ino: read } = await b.mount.stat("r/read.txt");
  b.vfs.watchReaders({ has: (ino) => ino === read, all: () => [read] });
  await write(a, { ...all("aaaa"), "r/read.txt": "read 2!" });
  await a.flush();
  await write(b, { unrelated: "b" });
  return agents;
}

const openAll = ({ b }: Awaited<ReturnType<typeof world>>) =>
  Promise.all(DATABASES.map((path) => openToWrite(b, path)));

/** Each program writes over the first of the four bytes that it has read. Both versions must be there, and no mixture. */
async function expectBoth({ a, b }: Awaited<ReturnType<typeof world>>, open: Awaited<ReturnType<typeof openAll>>) {
  for (const each of open) {
    expect(await each.read()).toBe("0000");
    await each.write(0, "1");
    each.close();
  }
  for (let round = 0; round < 2; round++) for (const agent of [b, a]) await agent.flush();
  const texts = Object.entries(await filesOf(a)).flatMap(([path, text]) => (/app[^/]*\.db$/.test(path) ? [text] : []));
  expect(texts.toSorted()).toEqual([...DATABASES.map(() => "1000"), ...DATABASES.map(() => "aaaa")]);
}

describe("databases that others have changed stay as programs saw them", () => {
  test("if they are opened while the agent loads what readers need", async () => {
    const agents = await beginning();
    const { remote, b } = agents;
    let open: Awaited<ReturnType<typeof openAll>> | undefined;
    const [prepare, get] = [b.vfs.prepare.bind(b.vfs), remote.blocks.getMany.bind(remote.blocks)];
    b.vfs.prepare = async (...args) => {
      remote.blocks.getMany = async (cids) => {
        remote.blocks.getMany = get;
        open ??= await openAll(agents);
        return get(cids);
      };
      await prepare(...args);
      remote.blocks.getMany = get;
    };
    await b.flush();
    expect(open).toBeDefined();
    await expectBoth(agents, open ?? []);
  });

  test("if the bucket goes away right after the swap: it is tried again", async () => {
    const agents = await beginning();
    const { remote, b } = agents;
    const open = await openAll(agents);
    const [prepare, get] = [b.vfs.prepare.bind(b.vfs), remote.blocks.getMany.bind(remote.blocks)];
    b.vfs.prepare = async (...args) => {
      b.vfs.prepare = prepare;
      remote.blocks.getMany = async () => {
        throw new SynclineError("store_unreachable", "The bucket is away.");
      };
      await prepare(...args).finally(() => (remote.blocks.getMany = get));
    };
    await b.flush();
    expect(b.trouble?.code).toBe("store_unreachable");
    await b.flush();
    expect(b.trouble).toBeUndefined();
    await expectBoth(agents, open);
  });
});
