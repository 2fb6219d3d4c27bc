/** A bucket at a master whose root was set back, on machines that are ahead: --accept merges back what the older root lacks. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import Database from "better-sqlite3";
import { afterAll, beforeAll, expect, test } from "vitest";
import { walletSigner } from "../../src/crypto/wallet.ts";
import { Workspace } from "../support/syncline.ts";

const { wallet } = walletSigner(new Uint8Array(32).fill(0x42));
let space: Workspace;
let master: ChildProcess;
let origin = "";

beforeAll(async () => {
  space = new Workspace("recovered");
  const storage = ["--arbiter", `sqlite:${space.at("arbiter.db")}`, "--store", `file://${space.at("store")}`];
  const serve = ["serve", "--json", "--listen", "127.0.0.1:0", "--allow", wallet, ...storage];
  const [program = "", ...rest] = Workspace.command(...serve);
  master = spawn(program, rest, { env: space.env, stdio: ["ignore", "pipe", "inherit"] });
  const [line] = (await once(createInterface({ input: master.stdout ?? process.stdin }), "line")) as [string];
  ({ origin } = JSON.parse(line) as { origin: string });
});
afterAll(async () => {
  master.kill("SIGTERM");
  await once(master, "exit");
  space[Symbol.dispose]();
});

/** Machines have states of their own. */
function bucket(name: string) {
  const url = `${origin}/${name}`;
  const on = (machine: string) => ["--state", space.at(`${name}-${machine}`)];
  const put = (machine: string, path: string, text: string, ...more: string[]) => {
    writeFileSync(space.at("file"), text);
    space.do("put", space.at("file"), `${url}/${path}`, ...on(machine), ...more);
  };
  const names = (machine: string) => space.lines("ls", url, ...on(machine)).map((line) => String(line["name"]));
  const text = (machine: string, path: string) => space.do("cat", `${url}/${path}`, ...on(machine));
  const inTable = <Result>(work: (db: Database.Database) => Result) => {
    const db = new Database(space.at("arbiter.db"));
    const result = work(db);
    db.close();
    return result;
  };
  const save = () =>
    inTable((db) => {
      const sql = "SELECT root_cid AS root FROM bucket_roots WHERE bucket = ?";
      return db.prepare<[string], { root: string }>(sql).get(name)?.root;
    });
  const putBack = (root: string | undefined) =>
    inTable((db) => db.prepare("UPDATE bucket_roots SET root_cid = ? WHERE bucket = ?").run(root, name));
  return { url, on, put, names, text, save, putBack };
}

test("newer work of one machine comes back beside what others wrote meanwhile, and a third one follows by itself", () => {
  const { url, on, put, names, text, save, putBack } = bucket("one");
  space.do("init", url, ...on("a"));
  put("a", "old", "old");
  put("a", "edited", "before");
  const was = save();
  put("a", "edited", "after");
  put("a", "new", "new");
  expect(names("c")).toEqual(["edited", "new", "old"]);
  putBack(was);
  put("b", "others", "others");
  for (const machine of ["a", "c"]) {
    const { status, err } = space.run(["ls", url, ...on(machine)]);
    expect([status, err]).toEqual([4, expect.stringContaining("does not descend")]);
  }
  put("a", "later", "later", "--accept");
  for (const machine of ["a", "b", "c"]) {
    expect(names(machine)).toEqual(["edited", "later", "new", "old", "others"]);
    expect(text(machine, "edited")).toBe("after");
  }
  expect(space.json("verify", url, ...on("a"))).toMatchObject({ damaged: 0 });
});

test("two machines that were ahead of one another need no conflict copies", () => {
  const { url, on, put, names, text, save, putBack } = bucket("two");
  space.do("init", url, ...on("a"));
  put("a", "file", "0");
  const was = save();
  put("a", "file", "1");
  expect(names("b")).toEqual(["file"]);
  put("a", "file", "2");
  putBack(was);
  put("b", "from-b", "b", "--accept");
  expect(text("b", "file")).toBe("1");
  put("a", "from-a", "a", "--accept");
  for (const machine of ["a", "b"]) {
    expect(names(machine)).toEqual(["file", "from-a", "from-b"]);
    expect(text(machine, "file")).toBe("2");
  }
});

test.skipIf(!existsSync("/dev/fuse"))(
  "mounts with changes that wait go on: by themselves, and with --accept",
  async () => {
    const { url, on, put, names, text, save, putBack } = bucket("three");
    space.do("init", url, ...on("a"));
    put("a", "file", "0");
    const was = save();
    const mounts = ["m", "n"].map((machine) => {
      const path = space.mountPoint(machine);
      space.mount(url, path, ...on(machine));
      return { machine, path };
    });
    const [m, n] = mounts as [(typeof mounts)[number], (typeof mounts)[number]];
    put("a", "file", "1");
    for (const { machine, path } of mounts) {
      await expect.poll(() => readFileSync(join(path, "file"), "utf8"), WAIT).toBe("1");
      space.do("flush", path, ...on(machine));
    }
    putBack(was);
    for (const { machine, path } of mounts) {
      writeFileSync(join(path, `from-${machine}`), machine);
      const flushed = space.run(["flush", path, ...on(machine)]);
      expect([flushed.status, flushed.out]).toEqual([3, expect.stringContaining("does not descend")]);
      expect(readFileSync(join(path, "file"), "utf8")).toBe("1");
    }
    expect(space.run(["unmount", n.path, "--drain", "1", ...on("n")]).status).toBe(3);
    space.mount(url, n.path, "--accept", ...on("n"));
    const all = ["file", "from-m", "from-n"];
    for (const { path } of mounts) await expect.poll(() => readdirSync(path).toSorted(), WAIT).toEqual(all);
    space.do("flush", m.path, ...on("m"));
    space.do("flush", n.path, ...on("n"));
    expect(names("a")).toEqual(all);
    expect(text("a", "file")).toBe("1");
  },
);

const WAIT = { timeout: 20_000, interval: 50 };
