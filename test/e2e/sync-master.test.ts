/** Folders that sync through a master: that they come to one tree, and how the command ends where it cannot. */
import { randomBytes } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeEach, expect, test } from "vitest";
import { MasterProcess } from "../support/master-process.ts";
import { Workspace } from "../support/syncline.ts";

const space = new Workspace("sync-master");
const STRANGER = { SYNCLINE_KEY: "33".repeat(32) };
/** Longer than the scan that finds what was never noticed is away. */
const soon = { timeout: 90_000, interval: 50 };
const patience = { timeout: 400_000 };
let master: MasterProcess;
beforeEach(async () => void (master = await MasterProcess.start()));
afterEach(() => master.end("SIGKILL"));
afterAll(() => space[Symbol.dispose]());

const filesOf = (folder: string) =>
  readdirSync(folder)
    .filter((name) => name !== ".syncline")
    .sort()
    .map((name) => [name, readFileSync(`${folder}/${name}`, "utf8")]);

test("three folders converge on one tree, with both versions of a file that two of them changed", patience, () => {
  const url = master.newBucket();
  space.do("init", url);
  const folders = ["a", "b", "c"].map((name) => space.at(name));
  const sync = (some = folders) => some.map((folder) => space.json("sync", url, folder, "--once"));
  const [a = "", b = "", c = ""] = folders;
  mkdirSync(a);
  writeFileSync(`${a}/shared.bin`, "first");
  sync();
  writeFileSync(`${a}/shared.bin`, "from a");
  writeFileSync(`${b}/shared.bin`, "from b");
  writeFileSync(`${c}/new.bin`, "from c");
  sync();
  expect(sync([a, b])).toMatchObject([{ left: [] }, { left: [] }]);
  const whole = filesOf(a);
  expect(whole.map(([, text]) => text).sort()).toEqual(["from a", "from b", "from c"]);
  for (const folder of [b, c]) expect(filesOf(folder)).toEqual(whole);
});

test(
  "sync exits with 5 if the wallet is not allowed, with 6 if the master is away, and with 3 if changes stay unsent under watch",
  patience,
  async () => {
    const url = master.newBucket();
    space.do("init", url);
    const folder = space.at("watched");
    const refused = space.run(["sync", url, folder, "--once", "--json"], { env: STRANGER });
    expect([refused.status, refused.err]).toEqual([5, expect.stringContaining("wallet_not_allowed")]);
    expect(space.json("sync", url, folder, "--once")).toMatchObject({ left: [] });
    const child = space.start(["sync", url, folder, "--drain", "2"]);
    const ended = new Promise((done) => child.once("exit", done));
    writeFileSync(`${folder}/there.txt`, "there");
    await expect.poll(() => space.run(["cat", `${url}/there.txt`]).out, soon).toBe("there");
    await master.end("SIGKILL");
    const away = space.run(["sync", url, space.at("another"), "--once", "--json"]);
    expect([away.status, away.err]).toEqual([6, expect.stringContaining("_unreachable")]);
    writeFileSync(`${folder}/waits.txt`, "waits");
    child.kill("SIGTERM");
    expect(await ended).toBe(3);
    expect(readFileSync(`${folder}/waits.txt`, "utf8")).toBe("waits");
  },
);

test("files that a master lost are sent again from the folder before the next change", patience, async () => {
  const url = master.newBucket();
  space.do("init", url);
  const folder = space.at("kept");
  mkdirSync(folder);
  for (let each = 0; each < 20; each++) writeFileSync(`${folder}/${each}.bin`, randomBytes(9_000));
  expect(space.json("sync", url, folder, "--once")).toMatchObject({ sent: { added: 20 } });
  await master.end();
  const lost = readFileSync(`${folder}/3.bin`).subarray(0, 64);
  const packs = readdirSync(master.data, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name))
    .filter((path) => readFileSync(path).includes(lost));
  expect(packs).toHaveLength(1);
  for (const pack of packs) {
    const bytes = readFileSync(pack);
    bytes.writeUInt8(bytes.readUInt8(bytes.indexOf(lost) + 10) ^ 1, bytes.indexOf(lost) + 10);
    writeFileSync(pack, bytes);
  }
  space.run(["verify", "--data", master.data, "--repair"]);
  await master.run(new URL(master.origin).host);
  expect(space.run(["verify", url]).status).toBe(8);
  writeFileSync(`${folder}/4.bin`, randomBytes(9_000));
  expect(space.json("sync", url, folder, "--once")).toMatchObject({ sent: { changed: 1 } });
  expect(space.json("verify", url)).toMatchObject({ damaged: 0 });
});
