/** The command line as people and scripts use it: real processes on buckets in folders, without a mount. */
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { commandsFor } from "../../src/cli/commands.ts";
import { runCommandLine } from "../../src/cli/program.ts";
import { noise } from "../support/bytes.ts";
import { createFakeRuntime } from "../support/fake-runtime.ts";
import { census } from "../support/local-tree.ts";
import { collect, Workspace } from "../support/syncline.ts";

const ROOT = /^bafyr4i[a-z2-7]{52}$/;
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
const isRoot = process.getuid?.() === 0;
const NOBODY = 65534;

const text = (pattern: RegExp) => expect.stringMatching(pattern) as string;
const textOrNull = () => expect.toSatisfy((hint) => hint === null || typeof hint === "string") as string | null;
const number = expect.any(Number) as number;

let space: Workspace;
let bucket: string;

beforeAll(() => {
  space = new Workspace("cli");
  bucket = space.url("bucket");
  space.do("init", bucket);
  writeFileSync(space.at("f"), "f");
});
afterAll(() => space[Symbol.dispose]());

function error(args: readonly string[], options: Parameters<Workspace["run"]>[1] = {}) {
  const { status, out, err } = space.run([...args, "--json"], options);
  return { status, out, ...(JSON.parse(err) as { code: string; message: string; hint: string | null }) };
}

describe("init", () => {
  test("creates a bucket and prints its pinned address", () => {
    const made = space.json("init", space.url("fresh"));
    expect(made).toEqual({
      address: space.url("fresh"),
      genesis: text(ROOT),
      owner: text(/^0x[0-9a-f]{40}$/),
      pinned: `${space.url("fresh")}#${String(made["genesis"])}`,
    });
    expect(space.lines("ls", String(made["pinned"]))).toEqual([]);
  });

  test("exits with 4 and changes nothing if there is a bucket already", () => {
    const before = census(space.at("bucket"));
    expect(error(["init", bucket])).toMatchObject({ status: 4, code: "bucket_exists", out: "" });
    expect(census(space.at("bucket"))).toEqual(before);
  });

  test("creates the bucket in one of several concurrent runs; the others exit with 4", async () => {
    const url = space.url("raced");
    const ended = await space.race([1, 2, 3, 4].map(() => ["init", url]));
    expect(ended.map(({ status }) => status).toSorted()).toEqual([0, 4, 4, 4]);
    writeFileSync(space.at("one"), "1");
    space.do("put", space.at("one"), `${url}/one`);
    expect(space.do("cat", `${url}/one`)).toBe("1");
  });

  test("refuses an address inside a bucket's folder", () => {
    const before = census(space.at("bucket"));
    expect(error(["init", `${bucket}/photos/new`])).toMatchObject({ status: 4, code: "bucket_exists", out: "" });
    expect(census(space.at("bucket"))).toEqual(before);
  });

  test("refuses a folder that holds other files", () => {
    mkdirSync(space.at("used"));
    writeFileSync(space.at("used", "file"), "");
    expect(error(["init", space.url("used")])).toMatchObject({ status: 4, code: "path_exists" });
    expect(readdirSync(space.at("used"))).toEqual(["file"]);
  });

  test("refuses a bucket that has lost its root, also with --accept, and tells how to repair it", () => {
    const url = space.url("rootless");
    space.do("init", url);
    space.do("put", space.at("f"), `${url}/f`);
    renameSync(space.at("rootless", "root"), space.at("kept-root"));
    const before = census(space.at("rootless"));
    const stranger = { SYNCLINE_STATE: space.at("elsewhere") };
    for (const [args, options] of [
      [[], {}],
      [["--accept"], {}],
      [[], { env: stranger }],
    ] as const) {
      const refused = error(["init", url, ...args], options);
      expect(refused).toMatchObject({ status: 4, code: "bucket_exists", message: text(/lost its root/) });
      expect(refused.hint).toContain("syncline verify --repair");
    }
    for (const args of [
      ["ls", url],
      ["cat", `${url}/f`],
      ["put", space.at("f"), `${url}/g`],
    ]) {
      const lost = error(args, { env: stranger });
      expect(lost).toMatchObject({ status: 6, code: "arbiter_unreachable", message: text(/lost its root/) });
      expect(lost.hint).toContain("syncline verify --repair");
    }
    expect(census(space.at("rootless"))).toEqual(before);
    renameSync(space.at("kept-root"), space.at("rootless", "root"));
    expect(space.do("cat", `${url}/f`)).toBe("f");
  });

  test("refuses an invalid key", () => {
    const env = { SYNCLINE_KEY: "no key" };
    expect(error(["init", space.url("keyless")], { env })).toMatchObject({ status: 5, code: "key_invalid" });
    expect(existsSync(space.at("keyless"))).toBe(false);
  });
});

describe("a tree copied with put and get", () => {
  let source: string;
  const names = [
    "sp ace",
    "new\nline",
    "tab\t",
    "ünïcode",
    "100%",
    "a+b&c=d",
    "#hash?",
    "\u202etxt.exe",
    "\u001b[31mred",
  ];

  beforeAll(() => {
    source = space.at("source");
    mkdirSync(join(source, "sub", "deep", "empty"), { recursive: true });
    for (const name of names) writeFileSync(join(source, name), `in ${name}`);
    writeFileSync(Buffer.concat([Buffer.from(`${source}/`), Buffer.from([0xff, 0xfe])]), "not UTF-8");
    writeFileSync(join(source, "sub", "big"), noise(3_000_000));
    writeFileSync(join(source, "sub", "empty-file"), "");
    writeFileSync(join(source, "holes"), "begin");
    truncateSync(join(source, "holes"), 64 << 20);
    symlinkSync("sub/big", join(source, "link"));
    symlinkSync("/no/where", join(source, "dangling"));
    linkSync(join(source, "100%"), join(source, "sub", "same"));
    chmodSync(join(source, "sub", "big"), 0o640);
    chmodSync(join(source, "sub", "deep"), 0o2711);
    chmodSync(join(source, "sub", "deep", "empty"), 0o500);
    for (const [path, time] of [
      ["sub/big", "1969-12-31T23:59:59.000000001Z"],
      ["link", "2001-02-03T04:05:06.123456789Z"],
      ["sub/deep/empty", "2030-01-01T00:00:00.999999999Z"],
      ["sub/deep", "2001-02-03T04:05:06.987654321Z"],
      ["sub", "2002-02-03T04:05:06.987654321Z"],
    ] as const)
      execFileSync("touch", ["-h", "-d", time, join(source, path)]);
    space.do("put", "-r", source, `${bucket}/`);
    space.do("get", "-r", `${bucket}/source`, space.at("copy"), "--special");
  });

  test("keeps its names, bytes, modes, links and nanosecond times", () => {
    expect(census(space.at("copy"))).toEqual(census(source));
    const original = statSync(source, { bigint: true });
    expect(statSync(space.at("copy"), { bigint: true })).toMatchObject({
      mode: original.mode,
      mtimeNs: original.mtimeNs,
    });
  });

  test("keeps its holes", () => {
    expect(statSync(space.at("copy", "holes"))).toMatchObject({ size: 64 << 20 });
    expect(statSync(space.at("copy", "holes")).blocks * 512).toBeLessThan(1 << 20);
  });

  test("is listed as one line of JSON per name, whose `encoded` works as a path", () => {
    const listed = space.lines("ls", `${bucket}/source`);
    expect(listed.map(({ name }) => name).toSorted()).toEqual(
      [...names, "\ufffd\ufffd", "dangling", "holes", "link", "sub"].toSorted(),
    );
    const file = listed.find(({ name }) => name === "100%");
    expect(file).toEqual({
      name: "100%",
      encoded: "100%25",
      type: "file",
      mode: 0o644,
      uid: number,
      gid: number,
      size: 7,
      mtime: text(/^\d{4}-.*T\d\d:\d\d:\d\d\.\d{9}Z$/),
      id: text(/./),
      links: 2,
    });
    expect(listed.find(({ name }) => name === "link")).toMatchObject({ type: "symlink", target: "sub/big" });
    for (const name of ["\ufffd\ufffd", "new\nline", "#hash?"]) {
      const encoded = String(listed.find((each) => each["name"] === name)?.["encoded"]);
      expect(space.do("cat", `${bucket}/source/${encoded}`)).toBe(name === "\ufffd\ufffd" ? "not UTF-8" : `in ${name}`);
    }
  });

  test("is shown without terminal control characters", () => {
    const shown = space.do("ls", `${bucket}/source`) + space.do("log", bucket);
    expect(shown.replaceAll("\n", "")).not.toMatch(/[\p{Cc}\p{Cf}]/u);
    expect(shown).toContain("new\\u{a}line");
    expect(shown).toContain("\\u{202e}txt.exe");
    expect(shown).toContain("link -> sub/big");
  });

  test("can be copied again over existing files, in both directions", () => {
    expect(space.json("put", "-r", source, bucket)).toEqual({
      root: text(ROOT),
      version: number,
      files: names.length + 7,
      bytes: number,
      skipped: 0,
      attempts: number,
      requests: number,
      uploadedBytes: number,
      uploadedBlocks: number,
      blocksRead: number,
      conflicts: 0,
    });
    mkdirSync(space.at("again"));
    space.do("get", "-r", `${bucket}/source`, space.at("again"), "--special");
    space.do("get", "-r", `${bucket}/source`, space.at("again"), "--special");
    expect(census(space.at("again", "source"))).toEqual(census(source));
    expect(readdirSync(space.at("again"))).toEqual(["source"]);
  });

  test("arrives without set-user-ID and set-group-ID bits unless --special asks for them", () => {
    const modeIn = (folder: string) => statSync(space.at(folder, "sub", "deep")).mode & 0o7777;
    space.do("get", "-r", `${bucket}/source`, space.at("plain"));
    expect(modeIn("plain")).toBe(0o711);
    space.do("get", "-r", `${bucket}/source`, space.at("asked"), "--special");
    expect(modeIn("asked")).toBe(0o2711);
  });

  test("lands at the target or inside it, as with cp", () => {
    space.do("put", "-r", `${source}/sub/.`, `${bucket}/as-sub`);
    space.do("put", space.at("f"), `${bucket}/as-sub`);
    space.do("put", space.at("f"), `${bucket}/made/on/the/way`);
    space.do("put", space.at("f"), `${bucket}/slash/`);
    const namesAt = (path: string) => space.lines("ls", `${bucket}/${path}`).map(({ name }) => name);
    expect(namesAt("as-sub")).toEqual(["big", "deep", "empty-file", "f", "same"]);
    expect(namesAt("made/on/the")).toEqual(["way"]);
    expect(namesAt("slash")).toEqual(["f"]);
    mkdirSync(space.at("into"));
    expect(space.json("get", `${bucket}/slash/f`, space.at("into"))).toEqual({
      target: space.at("into", "f"),
      files: 1,
      bytes: 1,
      skipped: 0,
    });
    const { status } = space.run(["get", "-r", `${bucket}/slash`], { cwd: space.at("into") });
    expect({ status, got: readFileSync(space.at("into", "slash", "f"), "utf8") }).toEqual({ status: 0, got: "f" });
  });

  test("never follows a symlink at the target", () => {
    for (const folder of ["outside", "trap/source"]) mkdirSync(space.at(folder), { recursive: true });
    symlinkSync(space.at("outside"), space.at("trap", "source", "sub"));
    expect(error(["get", "-r", `${bucket}/source`, space.at("trap")])).toMatchObject({
      status: 4,
      code: "path_exists",
    });
    expect(readdirSync(space.at("outside"))).toEqual([]);
  });

  test("leaves out files that are local to one machine, such as a FIFO, and says so", () => {
    mkdirSync(space.at("special"));
    execFileSync("mkfifo", [space.at("special", "fifo")]);
    const { status, out, err } = space.run(["put", "-r", space.at("special"), bucket, "--json"]);
    expect({ status, skipped: (JSON.parse(out) as { skipped: number }).skipped }).toEqual({ status: 0, skipped: 1 });
    expect(JSON.parse(err)).toEqual({ notice: text(/Skipped 1 /) });
    expect(space.lines("ls", `${bucket}/special`)).toEqual([]);
  });
});

describe("pipes", () => {
  const bytes = Buffer.from(noise(5_000_000, 7));

  test("put reads stdin and get writes stdout, byte for byte", () => {
    const put = space.run(["put", "-", `${bucket}/piped`], { input: bytes });
    expect(put).toMatchObject({ status: 0, err: "" });
    expect(space.run(["cat", `${bucket}/piped`]).bytes.equals(bytes)).toBe(true);
    expect(space.run(["get", `${bucket}/piped`, "-"]).bytes.equals(bytes)).toBe(true);
  });

  test("get writes into a fifo, and does not replace it", async () => {
    execFileSync("mkfifo", [space.at("target")]);
    const cat = spawn("cat", [space.at("target")], { stdio: ["ignore", "pipe", "ignore"] });
    const read = collect(cat);
    const { status } = await collect(space.start(["get", `${bucket}/piped`, space.at("target")]));
    expect(status).toBe(0);
    expect((await read).bytes.equals(bytes)).toBe(true);
    expect(statSync(space.at("target")).isFIFO()).toBe(true);
  });

  test("stdin that is too long for memory goes through a temporary file, which is removed", () => {
    const long = Buffer.from(noise(9_000_000, 8));
    mkdirSync(space.at("tmp"));
    expect(space.run(["put", "-", `${bucket}/long`], { input: long, env: { TMPDIR: space.at("tmp") } }).status).toBe(0);
    expect(space.run(["cat", `${bucket}/long`]).bytes.equals(long)).toBe(true);
    expect(readdirSync(space.at("tmp"))).toEqual([]);
  });

  test.skipIf(process.platform !== "linux").each([
    ["cat", []],
    ["get", ["-"]],
  ])("%s into a file on a full disk fails", (command, more) => {
    // The system takes the beginning of the last write, as a full disk does.
    const limit = 4 * 1024 * 1024 + 512;
    writeFileSync(space.at("limit"), noise(limit + 512, 11));
    space.do("put", space.at("limit"), `${bucket}/limit`);
    const line = Workspace.command(command, `${bucket}/limit`, ...more, "--json");
    const script = `ulimit -f ${limit / 512}; exec "$@" > "$0"`;
    const { status, stderr } = spawnSync("sh", ["-c", script, space.at("cut"), ...line], { env: space.env });
    expect({ status, size: statSync(space.at("cut")).size }).toEqual({ status: 1, size: limit });
    expect(JSON.parse(stderr.toString())).toMatchObject({ code: "local_io_failed" });
  });

  test("cat ends quietly when its reader goes away, as with SIGPIPE", async () => {
    const child = space.start(["cat", `${bucket}/piped`]);
    if (child.stdout === null) throw new Error("no pipe");
    await once(child.stdout, "data");
    child.stdout.destroy();
    const { status, err } = await collect(child);
    expect({ status, err }).toEqual({ status: 141, err: "" });
  });

  test("after a signal put leaves no temporary file, and get leaves no partial file", async () => {
    const [tmp, into] = [space.at("put-tmp"), space.at("interrupted")];
    for (const folder of [tmp, into]) mkdirSync(folder);
    const put = space.start(["put", "-", `${bucket}/never`], { env: { TMPDIR: tmp } });
    const putEnded = collect(put);
    put.stdin?.on("error", () => {});
    put.stdin?.write(Buffer.from(noise(9_000_000, 9)));
    await expect.poll(() => readdirSync(tmp, { recursive: true }).length, { timeout: 10_000 }).toBe(2);
    put.kill("SIGINT");
    expect(await putEnded).toMatchObject({ status: null, signal: "SIGINT" });
    expect(readdirSync(tmp)).toEqual([]);
    const get = space.start(["get", `${bucket}/long`, join(into, "long")]);
    const getEnded = collect(get);
    await expect.poll(() => readdirSync(into).length, { timeout: 10_000, interval: 1 }).toBe(1);
    get.kill("SIGTERM");
    await getEnded;
    expect(readdirSync(into).filter((name) => name !== "long")).toEqual([]);
    expect(error(["cat", `${bucket}/never`])).toMatchObject({ code: "no_such_path" });
  });

  test("a closed stdin, /dev/null or a directory never replaces a file, and an empty pipe does", () => {
    space.run(["put", "-", `${bucket}/kept`], { input: "kept" });
    const line = Workspace.command("put", "-", `${bucket}/kept`, "--json");
    for (const from of ["<&-", "< /dev/null", "< /"]) {
      const { status, stderr } = spawnSync("sh", ["-c", `"$@" ${from}`, "sh", ...line], { env: space.env });
      expect({ from, status, ...JSON.parse(stderr.toString()) }).toMatchObject({ from, status: 2, code: "usage" });
    }
    expect(space.do("cat", `${bucket}/kept`)).toBe("kept");
    expect(space.run(["put", "-", `${bucket}/kept`], { input: "" }).status).toBe(0);
    expect(space.do("cat", `${bucket}/kept`)).toBe("");
  });

  test("need a name in the bucket", () => {
    expect(error(["put", "-", bucket], { input: "x" })).toMatchObject({ status: 2, code: "usage" });
  });
});

describe("history", () => {
  let url: string;
  let roots: string[];
  let firstTime: string;

  beforeAll(() => {
    url = space.url("history");
    space.do("init", url);
    mkdirSync(space.at("h"));
    const put = (text: string) => {
      writeFileSync(space.at("h", "f"), text);
      return String(space.json("put", "-r", `${space.at("h")}/.`, url)["root"]);
    };
    roots = [put("one")];
    firstTime = String(space.lines("log", url)[0]?.["time"]);
    writeFileSync(space.at("h", "g"), "");
    roots.push(put("two"));
  });

  test("log reports each commit as docs/reference/command-line.md promises, newest first", () => {
    const [newest, second, first] = space.lines("log", url);
    expect(newest).toEqual({
      root: roots[1],
      seq: 3,
      writer: text(/^[0-9a-f]{32}$/),
      machine: hostname(),
      epoch: 2,
      time: text(TIME),
      totals: { files: 2, directories: 0, bytes: 3 },
      changes: { added: 1, changed: 1, removed: 0, complete: true },
      note: `put ${space.at("h")}/.`,
    });
    expect(second).toMatchObject({ root: roots[0], seq: 2, changes: { added: 1, changed: 0, removed: 0 } });
    expect(first).toMatchObject({ seq: 1, changes: null, totals: { files: 0, directories: 0, bytes: 0 } });
    expect(space.lines("log", url, "-n", "1")).toEqual([newest]);
    expect(space.do("log", url, "-n", "1")).toMatch(/seq 3 .* 2 files, 0 directories, 3 B {2}\+1 ~1 -0 {2}put /);
  });

  test("--at shows a past state, by root and by time", () => {
    const [then = ""] = roots;
    expect(space.do("cat", `${url}/f`, "--at", then)).toBe("one");
    expect(space.do("cat", `${url}/f`, "--at", firstTime)).toBe("one");
    expect(space.do("cat", `${url}/f`, "--at", new Date().toISOString())).toBe("two");
    expect(space.lines("ls", url, "--at", then).map(({ name }) => name)).toEqual(["f"]);
    space.do("get", "-r", url, space.at("then"), "--at", then);
    expect([...census(space.at("then")).keys()]).toEqual(["f"]);
  });

  test("log of a path shows that file's history, and --machine-name sets the machine that it names", () => {
    const own = space.url("path-log");
    space.do("init", own);
    const put = (content: string, to: string, ...more: string[]) => {
      writeFileSync(space.at("h", "source"), content);
      space.do("put", space.at("h", "source"), `${own}/${to}`, ...more);
    };
    put("one", "f");
    put("three", "f", "--machine-name", "the lab's");
    put("three", "unrelated", "--machine-name", "-");
    expect(space.lines("log", `${own}/f`)).toMatchObject([
      { seq: 3, change: "changed", path: "f", size: 5, machine: "the lab's" },
      { seq: 2, change: "created", path: "f", size: 3, machine: hostname() },
    ]);
    expect(space.lines("log", `${own}/f`, "-n", "1")).toHaveLength(1);
    expect(space.lines("log", own)[0]).toMatchObject({ machine: null });
    expect(error(["log", `${own}/never`])).toMatchObject({ status: 1, code: "no_such_path" });
  });

  test("--at reports a root or time that is malformed or unknown", () => {
    const other = String(space.lines("log", bucket)[0]?.["root"]);
    expect(error(["ls", url, "--at", "some day"])).toMatchObject({ status: 2, code: "usage" });
    expect(error(["ls", url, "--at", "yesterday"])).toMatchObject({ status: 1, code: "no_such_root" });
    expect(error(["ls", url, "--at", "2001-01-01T00:00:00Z"])).toMatchObject({ status: 1, code: "no_such_root" });
    expect(error(["ls", url, "--at", other])).toMatchObject({ status: 1, code: "no_such_root" });
  });

  test("restore brings a path back as a new commit, and can be undone", () => {
    const [then = "", now = ""] = roots;
    expect(space.json("restore", `${url}/f`, "--at", then)).toMatchObject({
      root: text(ROOT),
      version: 4,
      from: then,
      restored: 1,
      removed: 0,
    });
    expect(space.do("cat", `${url}/f`)).toBe("one");
    expect(space.json("restore", url, "--at", then)).toMatchObject({ removed: 1 });
    expect(space.lines("ls", url).map(({ name }) => name)).toEqual(["f"]);
    space.do("restore", url, "--at", now);
    expect(space.do("cat", `${url}/f`)).toBe("two");
    expect(space.lines("log", url)).toHaveLength(6);
    expect(error(["restore", `${url}/nothing`, "--at", then])).toMatchObject({ status: 1, code: "no_such_path" });
    expect(error(["restore", `${url}/f`])).toMatchObject({ status: 2 });
    expect(error(["restore", space.at("h"), "--at", then])).toMatchObject({ status: 1, code: "no_agent" });
  });
});

describe("verify", () => {
  let url: string;
  beforeAll(() => {
    url = space.url("verified");
    space.do("init", url);
    writeFileSync(space.at("precious"), noise(300_000, 3));
    space.do("put", space.at("precious"), url);
  });

  test("reports how much of an intact bucket it checked", () => {
    expect(space.json("verify", url)).toEqual({ blocks: number, bytes: number, roots: 2, damaged: 0, repaired: 0 });
    expect(space.do("verify", url)).toMatch(/^\d+ blocks, .* 2 roots: no problems found\.\n$/);
  });

  test("names the damaged file, one event per line, and exits with 8; reading that file does too", () => {
    const newest = String(space.lines("log", url, "-n", "1")[0]?.["root"]);
    const objects = readdirSync(space.at("verified", "commit")).map((name) => space.at("verified", "commit", name));
    const object = objects.toSorted((a, b) => statSync(b).size - statSync(a).size)[0] ?? "";
    const sound = readFileSync(object);
    const damaged = Buffer.from(sound);
    damaged.writeUInt8(damaged.readUInt8(100_000) ^ 1, 100_000);
    writeFileSync(object, damaged);
    const { status, out } = space.run(["verify", url, "--json"]);
    const events = out
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect({ status, newest, last: events.at(-1) }).toMatchObject({ status: 8, last: { damaged: events.length - 1 } });
    expect(events).toContainEqual({
      damage: expect.objectContaining({ path: "/precious", what: text(/./) }) as object,
    });
    expect(error(["cat", `${url}/precious`])).toMatchObject({ status: 8, code: text(/^(block|store)_corrupt$/) });
    expect(space.run(["verify", url, "--repair", "--json"]).status).toBe(8);
    writeFileSync(object, sound);
    expect(space.json("verify", url)).toMatchObject({ damaged: 0 });
  });
});

describe("errors", () => {
  test.each([
    [["ls", "nonsense"], 2, "bad_address"],
    [["ls", "ftp://host/b"], 2, "bad_address"],
    [["ls", "s3://key@bucket"], 2, "bad_address"],
    [["cat", "BUCKET/a%2Fb"], 2, "name_invalid"],
    [["cat", "BUCKET/a\nb"], 2, "bad_address"],
    [["ls", "URL/missing"], 1, "no_such_bucket"],
    [["put", "SPACE/f", "URL/missing/f"], 1, "no_such_bucket"],
    [["verify", "URL/missing"], 1, "no_such_bucket"],
    [["mount", "URL/missing", "SPACE"], 1, "no_such_bucket"],
    [["ls", "BUCKET/missing"], 1, "no_such_path"],
    [["get", "BUCKET/f/below", "-"], 1, "no_such_path"],
    [["put", "SPACE/missing", "BUCKET"], 1, "no_such_path"],
    [["put", "SPACE/source", "BUCKET"], 1, "is_a_directory"],
    [["get", "BUCKET/source", "SPACE/x"], 1, "is_a_directory"],
    [["get", "BUCKET/source", "-"], 1, "is_a_directory"],
    [["cat", "BUCKET/source"], 1, "is_a_directory"],
    [["cat", "BUCKET/source/link"], 1, "not_supported"],
    [["put", "SPACE/f", "BUCKET/piped/f"], 1, "not_a_directory"],
    [["get", "BUCKET/piped", "SPACE/missing/x"], 1, "local_io_failed"],
    [["ls", "BUCKET#bafyr4iabcd"], 2, "bad_address"],
    [["log", "SPACE"], 1, "no_agent"],
    [["status", "SPACE"], 1, "no_agent"],
    [["flush"], 1, "no_agent"],
    [["unmount", "SPACE"], 1, "no_agent"],
    [["ls"], 2, "usage"],
    [["ls", "BUCKET", "--nonsense"], 2, "usage"],
    [["ls", "BUCKET", "--state", ""], 2, "usage"],
    [["nonsense"], 2, "usage"],
  ])("%j exits with %i, %s", async (args, status, code) => {
    const filled = args.map((arg) =>
      arg.replace("BUCKET", bucket).replace("URL", space.url().slice(0, -1)).replace("SPACE", space.path),
    );
    const runtime = createFakeRuntime(space.env, { environmentKey: "42".repeat(32) });
    expect(await runCommandLine([...filled, "--json"], runtime, await commandsFor(filled), "1.2.3")).toBe(status);
    expect(runtime.out()).toBe("");
    expect(JSON.parse(runtime.err())).toEqual({ code, message: text(/^\S.*\.$/), hint: textOrNull() });
  });

  test("a bucket other than the pinned one is refused", () => {
    const pinned = `${bucket}#${String(space.json("init", space.url("pinned"))["genesis"])}`;
    expect(error(["ls", pinned])).toMatchObject({ status: 4, code: "foreign_bucket" });
    expect(error(["put", space.at("f"), pinned])).toMatchObject({ status: 4, code: "foreign_bucket" });
  });

  test("a stranger's key is not authorized", () => {
    const env = { SYNCLINE_KEY: "43".repeat(32), SYNCLINE_STATE: space.at("other-state") };
    expect(error(["put", space.at("f"), bucket], { env })).toMatchObject({ status: 5, code: "device_not_certified" });
  });

  test("a bucket re-created at its address can be written with the same state", () => {
    const url = space.url("anew");
    space.do("init", url);
    space.do("put", space.at("f"), url);
    rmSync(space.at("anew"), { recursive: true });
    expect(error(["init", url])).toMatchObject({ status: 4, code: "foreign_bucket", hint: text(/--accept/) });
    space.do("init", url, "--accept");
    space.do("put", space.at("f"), url);
    expect(space.json("verify", url)).toMatchObject({ damaged: 0 });
  });

  test("a damaged state is reported and left as it is", () => {
    const env = { SYNCLINE_STATE: space.at("damaged-state") };
    expect(space.run(["put", space.at("f"), bucket], { env }).status).toBe(0);
    const [hash = ""] = readdirSync(space.at("damaged-state"));
    const device = space.at("damaged-state", hash, "cli-0", "device.json");
    writeFileSync(device, "{");
    expect(error(["put", space.at("f"), bucket], { env })).toMatchObject({ status: 8, code: "state_corrupt" });
    expect(readFileSync(device, "utf8")).toBe("{");
  });

  test("on a full disk get fails with disk_full and leaves no partial file", ({ skip }) => {
    skip(!isRoot || process.platform !== "linux", "mounting a small tmpfs needs Linux and root");
    const small = space.mountPoint("small");
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=1m", "small", small]);
    expect(error(["get", `${bucket}/piped`, join(small, "piped")])).toMatchObject({ status: 1, code: "disk_full" });
    expect(readdirSync(small)).toEqual([]);
  });

  test("put fails on an unreadable source and publishes nothing", ({ skip }) => {
    skip(!isRoot, "tests give a process another user as root only");
    const before = space.lines("log", bucket).length;
    const { bucket: folder, ...rest } = readableBy(NOBODY);
    writeFileSync(space.at("secret"), "secret");
    chmodSync(space.at("secret"), 0o600);
    const put = error(["put", space.at("secret"), folder], rest);
    expect(put).toMatchObject({ status: 1, code: "local_io_failed", message: text(/EACCES|permission/) });
    expect(space.lines("log", bucket)).toHaveLength(before);
  });

  test("reading needs no state and works where nothing can be written", ({ skip }) => {
    skip(!isRoot, "tests give a process another user as root only");
    const { bucket: folder, ...rest } = readableBy(NOBODY);
    const env = { ...rest.env, XDG_STATE_HOME: space.at("unwritable"), XDG_CONFIG_HOME: space.at("unwritable") };
    mkdirSync(space.at("unwritable"));
    for (const args of [["ls", folder], ["cat", `${folder}/f`], ["log", folder], ["verify", folder], ["status"]])
      expect({ args, status: space.run(args, { ...rest, env }).status }).toEqual({ args, status: 0 });
    expect(error(["put", space.at("f"), folder], { ...rest, env })).toMatchObject({
      code: "local_io_failed",
      hint: text(/--state/),
    });
  });
});

/** A bucket that this user may write, with a state of its own. */
function readableBy(uid: number) {
  chmodSync(space.path, 0o755);
  const name = `of-${uid}-${readdirSync(space.path).length}`;
  const url = space.url(name);
  space.do("init", url);
  space.do("put", space.at("f"), url);
  execFileSync("chown", ["-R", `${uid}:${uid}`, space.at(name)]);
  mkdirSync(space.at(`${name}-state`));
  execFileSync("chown", [`${uid}:${uid}`, space.at(`${name}-state`)]);
  return { bucket: url, uid, env: { XDG_STATE_HOME: space.at(`${name}-state`) } };
}

test("concurrent commands use separate slots, and no write is lost", async () => {
  const url = space.url("slots");
  space.do("init", url);
  const all = [0, 1, 2, 3].map((each) => String(each));
  for (const each of all) writeFileSync(space.at(`slot-${each}`), each);
  const ended = await space.race(all.map((each) => ["put", space.at(`slot-${each}`), url]));
  expect(ended.map(({ status, err }) => status ?? err)).toEqual([0, 0, 0, 0]);
  expect(space.lines("ls", url).map(({ name }) => name)).toEqual(all.map((each) => `slot-${each}`));
  expect(new Set(space.lines("log", url).map(({ writer }) => writer)).size).toBeGreaterThan(1);
});

test("a bucket's folder can be moved and used at its new path", () => {
  space.do("init", space.url("before"));
  space.do("put", space.at("f"), space.url("before"));
  renameSync(space.at("before"), space.at("after"));
  expect(space.do("cat", `${space.url("after")}/f`)).toBe("f");
});

test("the tour in docs/reference/command-line.md runs as described", () => {
  const page = readFileSync(join(import.meta.dirname, "../../docs/reference/command-line.md"), "utf8");
  const tour = /```sh tour\n([^]*?)```/.exec(page)?.[1] ?? "";
  const folder = space.at("tour");
  mkdirSync(join(folder, "photos"), { recursive: true });
  writeFileSync(join(folder, "photos", "one.jpg"), noise(1000));
  const [program, main] = Workspace.command();
  const script = `syncline() { "${program}" "${main}" "$@"; }\n${tour.replaceAll("/srv/", `${folder}/`)}`;
  const options = { cwd: folder, env: space.env, encoding: "utf8" } as const;
  const { status, stdout, stderr } = spawnSync("bash", ["--norc", "-euo", "pipefail", "-c", script], options);
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  for (const part of ["hello\n", "photos/one.jpg\n", "no problems found"]) expect(stdout).toContain(part);
  expect([...census(join(folder, "copy")).keys()]).toEqual(["one.jpg"]);
});

test("--help and --version print to stdout", () => {
  expect(space.do("--help")).toContain("mount a bucket at a directory");
  expect(space.do("--version")).toMatch(/^\d+\.\d+\.\d+\n$/);
});

describe("a missing local path", () => {
  test("is named as given, with what to do", () => {
    space.do("put", space.at("f"), `${bucket}/f`);
    const got = error(["get", `${bucket}/f`, space.at("none", "f")]);
    expect(got).toMatchObject({ status: 1, code: "local_io_failed", hint: text(/mkdir/) });
    expect(got.message).toBe(`The directory ${space.at("none")} does not exist.`);
    const imported = error(["key", "import", space.at("none"), "--key", space.at("new.json")]);
    expect(imported).toMatchObject({ status: 1, code: "local_io_failed", hint: text(/Check the path/) });
    expect(imported.message).toBe(`${space.at("none")}: no such file or directory (ENOENT, open).`);
  });
});

test("an empty HOME still gives an absolute state folder", () => {
  const { out } = space.run(["doctor", "--json"], { env: { HOME: "", XDG_CONFIG_HOME: "", XDG_STATE_HOME: "" } });
  const { findings } = JSON.parse(out) as { findings: { what: string; detail: string }[] };
  const details = findings.filter(({ what }) => what === "state folder").map(({ detail }) => detail);
  expect(details).toEqual([text(/^\/.*\/syncline, /)]);
});

test("output to a full device fails with a message", ({ skip }) => {
  skip(!existsSync("/dev/full"), "there is no /dev/full");
  const [program = "", ...args] = Workspace.command("--help");
  const { status, stderr } = spawnSync("sh", ["-c", `"$0" "$@" > /dev/full`, program, ...args], { env: space.env });
  expect(status).toBe(1);
  expect(stderr.toString()).toMatch(/^syncline: Out of disk space: .*\n  Free some disk space.*\n$/);
});
