/** Which folders `syncline sync` takes, by which names, and what of them it never syncs. */
import { execFileSync, spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { whyNoMount } from "../support/fuse-process.ts";
import { Workspace } from "../support/syncline.ts";

const space = new Workspace("sync-folders");
afterAll(() => space[Symbol.dispose]());
const soon = { timeout: 90_000, interval: 50 };
const another = { XDG_STATE_HOME: space.at("another-state"), XDG_CONFIG_HOME: space.at("another-config") };

function names(url: string): string[] {
  return space.lines("ls", url).map(({ name }) => String(name));
}

test("a folder that would be synced into itself is refused and left untouched", () => {
  const url = space.url("with", "bucket");
  mkdirSync(space.at("with/bucket/in"), { recursive: true });
  rmSync(space.at("with/bucket"), { recursive: true });
  space.do("init", url);
  symlinkSync(space.at("with"), space.at("linked"));
  for (const each of ["with", "with/bucket", "with/bucket/in", "linked", "state/syncline", "config/syncline/in"]) {
    const { status, err } = space.run(["sync", url, space.at(each), "--once", "--json"]);
    expect([each, status, err]).toEqual([each, 2, expect.stringContaining("synced into itself")]);
  }
  expect(existsSync(space.at("with/.syncline"))).toBe(false);
  const both = space.run(["sync", url, space.at("plain"), "--once", "--watch", "--json"]);
  expect([both.status, both.err]).toEqual([2, expect.stringContaining("usage")]);
});

test.skipIf(whyNoMount() !== undefined)("a folder in a mount of the bucket is refused, whoever mounted it", () => {
  const url = space.url("mounted");
  space.do("init", url);
  const mount = space.mountPoint("mount");
  space.mount(url, mount);
  mkdirSync(`${mount}/sub`);
  for (const each of [mount, `${mount}/sub`]) {
    const { status, err } = space.run(["sync", url, each, "--once", "--json"], { env: another });
    expect([status, err]).toEqual([2, expect.stringContaining("in a mount of the bucket")]);
  }
  space.do("unmount", mount);
});

test("a folder and a symlink to it are one synced folder: deletions hold, and both names find its agent", async () => {
  const url = space.url("named");
  space.do("init", url);
  mkdirSync(space.at("real"));
  symlinkSync(space.at("real"), space.at("link"));
  for (const each of ["f", "g"]) writeFileSync(space.at("real", each), each);
  space.do("sync", url, space.at("real"), "--once");
  rmSync(space.at("real/f"));
  expect(space.json("sync", url, space.at("link"), "--once")).toMatchObject({ sent: { deleted: 1 } });
  expect(existsSync(space.at("real/f"))).toBe(false);
  space.start(["sync", url, space.at("link")]);
  await expect.poll(() => space.run(["status", space.at("link"), "--json"]).status, soon).toBe(0);
  expect(space.status(space.at("real"))["pid"]).toBe(space.status(space.at("link"))["pid"]);
  expect(space.json("unmount", space.at("link"))).toMatchObject({ drained: true });
});

test.runIf(process.platform === "linux")(
  "while one agent syncs a folder, no other agent may, whatever its state",
  async () => {
    const url = space.url("taken");
    space.do("init", url);
    mkdirSync(space.at("taken-folder"));
    space.start(["sync", url, space.at("taken-folder")]);
    await expect.poll(() => space.run(["status", space.at("taken-folder"), "--json"]).status, soon).toBe(0);
    const { status, err } = space.run(["sync", url, space.at("taken-folder"), "--once", "--json"], { env: another });
    expect([status, err]).toEqual([4, expect.stringContaining("state_in_use")]);
    expect(space.json("unmount", space.at("taken-folder"))).toMatchObject({ drained: true });
    const then = space.run(["sync", url, space.at("taken-folder"), "--once", "--json"], { env: another });
    expect(then.status).toBe(0);
  },
);

test("syncing a home leaves out the agent's own state and keys in it", () => {
  const url = space.url("homely");
  const home = space.at("home");
  mkdirSync(`${home}/.config/syncline`, { recursive: true });
  for (const each of ["doc", ".config/other", ".config/syncline/key.json", "my.key", "my.phrase"])
    writeFileSync(`${home}/${each}`, each);
  const env = { XDG_STATE_HOME: `${home}/.local/state`, XDG_CONFIG_HOME: `${home}/.config` };
  space.do("init", url);
  const args = [
    "sync",
    url,
    home,
    "--once",
    "--json",
    "--key",
    `${home}/my.key`,
    "--passphrase-file",
    `${home}/my.phrase`,
  ];
  expect(space.run(args, { env }).status).toBe(0);
  const again = space.run(args, { env });
  expect([again.status, JSON.parse(again.out)]).toEqual([0, expect.objectContaining({ left: [] })]);
  expect(names(url)).toEqual([".config", ".local", "doc"]);
  expect([names(`${url}/.config`), names(`${url}/.local/state`)]).toEqual([["other"], []]);
});

test("a missing bucket is unreachable for a folder that was synced with it, and nonexistent for others", () => {
  const url = space.url("away-bucket");
  space.do("init", url);
  mkdirSync(space.at("stays"));
  writeFileSync(space.at("stays/file"), "text");
  space.do("sync", url, space.at("stays"), "--once");
  renameSync(space.at("away-bucket"), space.at("away"));
  const known = space.run(["sync", url, space.at("stays"), "--once", "--json"]);
  expect([known.status, known.err]).toEqual([6, expect.stringContaining("store_unreachable")]);
  const other = space.run(["sync", url, space.at("stays-not"), "--once", "--json"]);
  expect([other.status, other.err]).toEqual([1, expect.stringContaining("no_such_bucket")]);
  renameSync(space.at("away"), space.at("away-bucket"));
  expect(space.json("sync", url, space.at("stays"), "--once")).toMatchObject({ sent: { deleted: 0 }, left: [] });
});

test("a synced folder inside another one keeps its own marker, and both are synced", () => {
  const [outer, inner] = [space.url("outer"), space.url("inner")];
  for (const each of [outer, inner]) space.do("init", each);
  mkdirSync(space.at("o/i"), { recursive: true });
  writeFileSync(space.at("o/i/file"), "text");
  space.do("sync", inner, space.at("o/i"), "--once");
  space.do("sync", outer, space.at("o"), "--once");
  space.do("sync", outer, space.at("copy"), "--once");
  expect(readdirSync(space.at("copy/i"))).toEqual(["file"]);
  space.do("sync", inner, space.at("copy/i"), "--once");
  space.do("sync", outer, space.at("copy"), "--once");
  space.do("sync", outer, space.at("o"), "--once");
  expect(space.json("sync", inner, space.at("o/i"), "--once")).toMatchObject({ left: [], conflicts: [] });
});

test("folders of one bucket inside each other do not fill up with each other's files", () => {
  const bucket = space.url("nested");
  space.do("init", bucket);
  const [outer, inner] = [space.at("around"), space.at("around/inside")];
  mkdirSync(inner, { recursive: true });
  writeFileSync(`${inner}/file`, "text");
  for (let times = 0; times < 3; times++) for (const each of [inner, outer]) space.do("sync", bucket, each, "--once");
  const left = [{ path: "inside", why: "synced by itself" }];
  expect(space.json("sync", bucket, outer, "--once")).toMatchObject({ left });
  expect(readdirSync(inner).sort()).toEqual([".syncline", "file", "inside"]);
  expect(readdirSync(`${inner}/inside`)).toEqual([]);
});

test("a plan names each deletion by its full path", () => {
  const url = space.url("planned");
  space.do("init", url);
  mkdirSync(space.at("plan/p/s"), { recursive: true });
  for (const each of ["p/s/f", "f", "g"]) writeFileSync(space.at("plan", each), each);
  space.do("sync", url, space.at("plan"), "--once");
  rmSync(space.at("plan/p"), { recursive: true });
  mkdirSync(space.at("plan/d"));
  rmSync(space.at("plan/g"));
  const actions = space.lines("sync", url, space.at("plan"), "--dry-run").map(({ action }) => action);
  expect(actions.slice(0, -1)).toEqual(
    expect.arrayContaining(
      ["p", "p/s", "p/s/f", "g"].map((path) => ({ where: "bucket", what: "delete", path })) as unknown[],
    ),
  );
});

test("a directory that is renamed after it became ignored has only its new name in the bucket", () => {
  const url = space.url("left-bucket");
  space.do("init", url);
  const folder = space.at("leaves");
  mkdirSync(`${folder}/s/in`, { recursive: true });
  writeFileSync(`${folder}/s/in/k`, "k");
  space.do("sync", url, folder, "--once");
  writeFileSync(`${folder}/.synclineignore`, "s\n");
  space.do("sync", url, folder, "--once");
  renameSync(`${folder}/s`, `${folder}/t`);
  space.do("sync", url, folder, "--once");
  expect(names(url)).toEqual([".synclineignore", "t"]);
  expect(space.json("verify", url)).toMatchObject({ damaged: 0 });
  rmSync(`${folder}/.synclineignore`);
  space.do("sync", url, folder, "--once");
  expect([names(url), names(`${url}/t/in`), readdirSync(`${folder}/t/in`)]).toEqual([["t"], ["k"], ["k"]]);
});

test("a file that new ignore rules no longer exclude is synced in the same run", () => {
  const url = space.url("ruled");
  space.do("init", url);
  for (const each of ["rule-a", "rule-b"]) mkdirSync(space.at(each));
  writeFileSync(space.at("rule-a/.synclineignore"), "x\n");
  space.do("sync", url, space.at("rule-a"), "--once");
  space.do("sync", url, space.at("rule-b"), "--once");
  writeFileSync(space.at("rule-b/x"), "here");
  space.do("sync", url, space.at("rule-b"), "--once");
  rmSync(space.at("rule-a/.synclineignore"));
  space.do("sync", url, space.at("rule-a"), "--once");
  expect(space.json("sync", url, space.at("rule-b"), "--once")).toMatchObject({ sent: { added: 1 } });
  expect(names(url)).toEqual(["x"]);
});

test.runIf(process.getuid?.() === 0)("a user other than root receives changes in read-only directories", () => {
  const uid = 65_534;
  chmodSync(space.path, 0o755);
  mkdirSync(space.at("nobody"));
  const [one, other] = [space.at("nobody/one"), space.at("nobody/other")];
  for (const each of [one, `${one}/ro`, other]) mkdirSync(each);
  for (const each of ["ro/f", "ro/gone", "ok", "secret"]) writeFileSync(join(one, each), "1");
  chmodSync(`${one}/ro`, 0o555);
  chmodSync(`${one}/secret`, 0o000);
  execFileSync("chown", ["-R", `${uid}:${uid}`, space.at("nobody")]);
  const url = space.url("nobody/bucket");
  const env = { XDG_STATE_HOME: space.at("nobody/state"), XDG_CONFIG_HOME: space.at("nobody/config") };
  const run = (...args: string[]) => space.run([...args, "--json"], { uid, env });
  expect(run("init", url).status).toBe(0);
  const first = run("sync", url, one, "--once");
  expect([first.status, JSON.parse(first.out)]).toEqual([
    3,
    expect.objectContaining({ left: [{ path: "secret", why: "cannot be read" }] }),
  ]);
  expect(run("sync", url, other, "--once").status).toBe(0);
  chmodSync(`${one}/ro`, 0o755);
  writeFileSync(`${one}/ro/f`, "2");
  writeFileSync(`${one}/ro/new`, "new");
  execFileSync("chown", ["-R", `${uid}:${uid}`, `${one}/ro`]);
  rmSync(`${one}/ro/gone`);
  chmodSync(`${one}/ro`, 0o555);
  expect(run("sync", url, one, "--once").status).toBe(3);
  expect(run("sync", url, other, "--once").status).toBe(0);
  expect(readdirSync(`${other}/ro`).sort()).toEqual(["f", "new"]);
  expect([readFileSync(`${other}/ro/f`, "utf8"), statSync(`${other}/ro`).mode & 0o777]).toEqual(["2", 0o555]);
  rmSync(`${one}/ro`, { recursive: true });
  expect(run("sync", url, one, "--once").status).toBe(3);
  expect(run("sync", url, other, "--once").status).toBe(0);
  expect(existsSync(`${other}/ro`)).toBe(false);
});

test.skipIf(process.platform !== "linux")("a path that is not UTF-8 is refused, and nothing is made beside it", () => {
  const url = space.url("latin");
  space.do("init", url);
  writeFileSync(space.at("word"), "word");
  space.do("put", space.at("word"), `${url}/word`);
  const folder = Buffer.concat([Buffer.from(`${space.at("latin-folders")}/`), Buffer.from("projet\xe9", "latin1")]);
  mkdirSync(folder, { recursive: true });
  const before = readdirSync(space.at("latin-folders"), { encoding: "buffer" });
  const script = 'cd "$(printf "$1")" && shift && exec "$@"';
  const inside = `${space.at("latin-folders")}/projet\\351`;
  for (const args of [
    ["sync", url, ".", "--once"],
    ["get", `${url}/word`, "../projet\ufffd/other"],
  ]) {
    const command = ["-c", script, "sh", inside, ...Workspace.command(...args)];
    const { status, stderr } = spawnSync("sh", command, { env: space.env, encoding: "utf8" });
    expect([args[0], status]).toEqual([args[0], 2]);
    expect(stderr).toContain("has bytes that are not UTF-8");
  }
  expect(readdirSync(space.at("latin-folders"), { encoding: "buffer" })).toEqual(before);
  expect(readdirSync(folder)).toEqual([]);
});

describe.skipIf(spawnSync("setfacl", ["--version"]).status !== 0)("access lists of a folder", () => {
  const listOf = (file: string) => execFileSync("getfacl", ["-cnp", file], { encoding: "utf8" });

  /** Syncs a second version of a file into a folder, after `change` of the first one there. */
  function replaced(name: string, change: (file: string, folder: string) => void): { before: string; after: string } {
    const [url, one, other] = [space.url(name), space.at(`${name}-one`), space.at(`${name}-other`)];
    const sync = () => {
      for (const folder of [one, other]) space.json("sync", url, folder, "--once");
    };
    const file = `${other}/f`;
    mkdirSync(one);
    mkdirSync(other);
    change("", other);
    writeFileSync(`${one}/f`, "1", { mode: 0o640 });
    space.do("init", url);
    sync();
    change(file, other);
    sync();
    const before = listOf(file);
    writeFileSync(`${one}/f`, "12");
    sync();
    expect([readFileSync(file, "utf8"), statSync(file).mode & 0o777]).toEqual(["12", 0o640]);
    return { before, after: listOf(file) };
  }

  test("stay when a newer version comes", () => {
    const { before, after } = replaced("listed", (file) => {
      if (file !== "") execFileSync("setfacl", ["-m", "u:61001:r,g::-", file]);
    });
    expect(before).toContain("user:61001:r--\ngroup::---\nmask::r--");
    expect(after).toBe(before);
  });

  test("do not come back where they were removed", () => {
    const { before, after } = replaced("default", (file, folder) => {
      if (file === "") return void execFileSync("setfacl", ["-d", "-m", "u:61001:rwx", folder]);
      execFileSync("setfacl", ["-b", file]);
      chmodSync(file, 0o640);
    });
    expect(before).not.toContain("61001");
    expect(after).toBe(before);
  });

  test("do not give the group rights on other machines, and stay when a newer version comes from there", () => {
    const [url, one, other] = [space.url("masked"), space.at("masked-one"), space.at("masked-other")];
    const sync = () => {
      for (const folder of [one, other, one]) space.json("sync", url, folder, "--once");
    };
    for (const folder of [one, other]) mkdirSync(folder);
    writeFileSync(`${one}/f`, "1", { mode: 0o600 });
    space.do("init", url);
    sync();
    execFileSync("setfacl", ["-m", "u:61001:rw", `${one}/f`]);
    execFileSync("setfacl", ["-d", "-m", "u:61001:rwx", one]);
    for (const name of ["new", "in", "in/new"])
      if (name === "in") mkdirSync(`${one}/in`, { mode: 0o755 });
      else writeFileSync(`${one}/${name}`, "1", { mode: 0o644 });
    sync();
    const modeOf = (name: string) => statSync(`${other}/${name}`).mode & 0o777;
    expect(["f", "new", "in", "in/new"].map(modeOf)).toEqual([0o600, 0o644, 0o755, 0o644]);
    const before = listOf(`${one}/f`);
    expect(before).toContain("mask::rw-");
    writeFileSync(`${other}/f`, "12");
    sync();
    expect([readFileSync(`${one}/f`, "utf8"), listOf(`${one}/f`)]).toEqual(["12", before]);
    utimesSync(`${other}/f`, 1, 1);
    sync();
    expect([statSync(`${one}/f`).mtimeMs, listOf(`${one}/f`)]).toEqual([1_000, before]);
    chmodSync(`${one}/f`, 0o664);
    sync();
    expect([modeOf("f"), listOf(`${one}/f`)]).toEqual([0o604, expect.stringContaining("mask::rw-\nother::r--")]);
    // Taking the group's rights away elsewhere narrows the list's mask here.
    chmodSync(`${other}/new`, 0o600);
    sync();
    expect([statSync(`${one}/new`).mode & 0o777, listOf(`${one}/new`)]).toEqual([
      0o600,
      expect.stringContaining("mask::---"),
    ]);
  });
});
