/** `syncline put` of sources that others change, and of pipes and open files. */
import { spawn, spawnSync } from "node:child_process";
import { appendFileSync, existsSync, openSync, readFileSync, renameSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { CommandWorld } from "../../../support/command-world.ts";

async function world() {
  const world = await CommandWorld.create();
  const at = (name: string) => join(world.folder, name);
  return { at, address: world.address, run: world.run.bind(world) };
}

test("a file that keeps changing while it is read is in the bucket, and put names it and ends with 4", async () => {
  const { at, address, run } = await world();
  writeFileSync(at("log"), Buffer.alloc(20_000_000, "line\n"));
  const writing = setInterval(() => appendFileSync(at("log"), "line\n"), 0);
  const { status, out, err } = await run("put", at("log"), `${address}/log`);
  clearInterval(writing);
  expect(status).toBe(4);
  expect(JSON.parse(err)).toMatchObject({ code: "precondition_failed", message: expect.stringContaining(at("log")) });
  const { bytes } = JSON.parse(out) as { bytes: number };
  expect(bytes).toBeGreaterThan(20_000_000);
  expect(JSON.parse((await run("ls", `${address}/log`)).out)).toMatchObject({ size: bytes });
});

test.skipIf(process.platform === "win32")("a fifo that is named is read, and replaces a file", async () => {
  const { at, address, run } = await world();
  spawnSync("mkfifo", [at("fifo")]);
  writeFileSync(at("old"), "old");
  expect(await run("put", at("old"), `${address}/dump`)).toMatchObject({ status: 0 });
  spawn("sh", ["-c", 'printf dump > "$0"', at("fifo")]);
  expect(await run("put", at("fifo"), `${address}/dump`)).toMatchObject({ status: 0 });
  expect(JSON.parse((await run("ls", `${address}/dump`)).out)).toMatchObject({ type: "file", size: 4 });
});

test.skipIf(process.platform !== "linux")("a file of /proc is put with its bytes, although its size is 0", async () => {
  const { address, run } = await world();
  expect(await run("put", "/proc/version", `${address}/version`)).toMatchObject({ status: 0 });
  const { length } = readFileSync("/proc/version");
  expect(JSON.parse((await run("ls", `${address}/version`)).out)).toMatchObject({ type: "file", size: length });
});

test("a stream is not put at a path that ends in a slash", async () => {
  const world = await CommandWorld.create("kept");
  const input = async function* () {
    yield Buffer.from("bytes");
  };
  for (const name of ["kept", "new"]) {
    const { status, err } = await world.runReading(input, "put", "-", `${world.address}/${name}/`);
    expect([status, JSON.parse(err)]).toEqual([2, expect.objectContaining({ code: "usage" })]);
  }
  expect(await world.files()).toEqual({ kept: "kept" });
});

test.skipIf(process.platform !== "linux")("an open file is read, also through a link, and not its link", async () => {
  const { at, address, run } = await world();
  writeFileSync(at("file"), "bytes");
  const path = `/proc/self/fd/${openSync(at("file"), "r")}`;
  symlinkSync(path, at("link"));
  symlinkSync("/dev/null", at("device"));
  for (const [name, source] of Object.entries({ a: path, b: at("link"), c: at("device") }))
    expect(await run("put", source, `${address}/${name}`)).toMatchObject({ status: 0 });
  const { out } = await run("ls", address);
  const entries = out
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as { name: string; type: string });
  expect(entries.map(({ name, type }) => `${name} ${type}`)).toEqual(["a file", "b file", "c symlink"]);
  expect(await run("get", `${address}/b`, at("copy"))).toMatchObject({ status: 0 });
  expect(readFileSync(at("copy"), "utf8")).toBe("bytes");
});

test("a put names the conflict with what others wrote while it read, and both versions are there", async () => {
  const world = await CommandWorld.create("f");
  async function* input() {
    writeFileSync(join(world.folder, "theirs"), "theirs");
    await world.done("put", join(world.folder, "theirs"), `${world.address}/f`);
    yield Buffer.from("ours");
  }
  const { status, out, err } = await world.runReading(input, "put", "-", `${world.address}/f`);
  expect([status, JSON.parse(out)]).toEqual([0, expect.objectContaining({ conflicts: 1 })]);
  expect(JSON.parse(err)).toEqual({ notice: expect.stringMatching(/^1 conflict with others' changes/) });
  expect(Object.values(await world.files()).sort()).toEqual(["ours", "theirs"]);
});

test("a put tells where its bytes are if others moved the file while it read", async () => {
  const world = await CommandWorld.create("f");
  async function* input() {
    await world.done("mv", `${world.address}/f`, `${world.address}/old`);
    yield Buffer.from("ours");
  }
  const { status, err } = await world.runReading(input, "put", "-", `${world.address}/f`);
  expect([status, JSON.parse(err)]).toEqual([0, { notice: "f is now at old: others changed it meanwhile." }]);
  expect(await world.files()).toEqual({ old: "ours" });
});

test("if the bucket's folder goes away, put does not promise to resume, and succeeds when run again", async () => {
  const world = await CommandWorld.create("f");
  const bucket = join(world.folder, "bucket");
  const input = async function* () {
    renameSync(bucket, `${bucket}-away`);
    yield Buffer.from("new");
  };
  const { status, err } = await world.runReading(input, "put", "-", `${world.address}/f`);
  const { code, hint } = JSON.parse(err) as { code: string; hint: string };
  expect([status, code, existsSync(bucket)]).toEqual([6, "arbiter_unreachable", false]);
  expect(hint).not.toMatch(/resumes|is kept/);
  renameSync(`${bucket}-away`, bucket);
  expect(await world.files()).toEqual({ f: "f" });
  const again = async function* () {
    yield Buffer.from("new");
  };
  expect((await world.runReading(again, "put", "-", `${world.address}/f`)).status).toBe(0);
  expect(await world.files()).toEqual({ f: "new" });
});

test("a source whose name is not UTF-8 is refused as such", async () => {
  const { at, address, run } = await world();
  const { status, err } = await run("put", at("non\ufffdutf"), `${address}/f`);
  expect([status, JSON.parse(err)]).toEqual([2, expect.objectContaining({ code: "usage" })]);
  expect(err).toContain("has bytes that are not UTF-8");
});
