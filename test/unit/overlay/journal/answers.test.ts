/** What a new agent knows about the requests that the previous one executed. */
import { expect, test } from "vitest";
import { diskFull } from "../../../../src/simulate/disks/simulated-disk.ts";
import { VfsHarness } from "../../../support/vfs-harness.ts";

/** Executes a call as the answer to a request. */
async function asRequest(fs: VfsHarness, request: number, call: () => Promise<unknown>): Promise<void> {
  fs.vfs.answers.request = request;
  try {
    await call();
    fs.vfs.persist();
  } finally {
    fs.vfs.answers.request = 0;
  }
}

function answersTo(fs: VfsHarness, ...requests: readonly number[]) {
  return requests.map((request) => fs.vfs.answers.of(request));
}

async function link(fs: VfsHarness, from: string, to: string): Promise<void> {
  const [ino, [parent, name]] = [await fs.ino(from), await fs.place(to)];
  await fs.run((vfs) => vfs.link(ino, parent, name));
}

async function setXattr(fs: VfsHarness, path: string): Promise<void> {
  const ino = await fs.ino(path);
  await fs.run((vfs) => vfs.setXattr(ino, "user.a", Buffer.from("b"), 1));
}

async function chmod(fs: VfsHarness, path: string): Promise<void> {
  const ino = await fs.ino(path);
  await fs.run((vfs) => vfs.setAttributes(ino, { mode: 0o700 }));
}

async function write(fs: VfsHarness, path: string, text: string): Promise<void> {
  await fs.write(await fs.ino(path), 0, text);
}

test("a killed process leaves the results of its requests with their changes", async () => {
  const fs = await VfsHarness.create();
  await asRequest(fs, 101, () => fs.make("made"));
  await asRequest(fs, 102, () => link(fs, "made", "linked"));
  await asRequest(fs, 103, () => fs.unlink("made"));
  await asRequest(fs, 104, () => setXattr(fs, "linked"));
  await asRequest(fs, 105, () => fs.rename("linked", "renamed"));
  await asRequest(fs, 106, () => write(fs, "renamed", "appended"));
  fs.restart();
  const ino = await fs.ino("renamed");
  expect(answersTo(fs, 101, 102, 103, 104, 105, 106, 107)).toEqual([ino, ino, 0, 0, 0, 0, undefined]);
});

test("a call that fails or changes nothing leaves no result", async () => {
  const fs = await VfsHarness.create();
  await fs.makeDirectory("full");
  await fs.make("full/made");
  await asRequest(fs, 101, () => expect(fs.make("full/made")).rejects.toThrow("EEXIST"));
  await asRequest(fs, 102, () => fs.list("full"));
  await asRequest(fs, 103, () => chmod(fs, "full"));
  fs.restart();
  expect(answersTo(fs, 101, 102, 103)).toEqual([undefined, undefined, undefined]);
});

test("results survive a checkpoint and more kills, until they are forgotten", async () => {
  const fs = await VfsHarness.create();
  await asRequest(fs, 101, () => fs.make("made"));
  fs.restart();
  const ino = await fs.ino("made");
  for (let kill = 0; kill < 2; kill++) {
    await fs.vfs.checkpoint();
    fs.restart();
    expect(answersTo(fs, 101)).toEqual([ino]);
  }
  // A new connection counts its requests anew.
  fs.vfs.answers.forget();
  fs.vfs.persist();
  expect(answersTo(fs, 101)).toEqual([undefined]);
  fs.restart();
  expect(answersTo(fs, 101)).toEqual([undefined]);
});

test("a process finds no results of its own requests, since it answers them itself", async () => {
  const fs = await VfsHarness.create();
  await asRequest(fs, 101, () => fs.make("made"));
  expect(answersTo(fs, 101)).toEqual([undefined]);
});

test("the result of a request survives checkpoints until the request is answered", async () => {
  const fs = await VfsHarness.create();
  await fs.make("log");
  for (const request of [101, 102]) {
    await asRequest(fs, request, () => write(fs, "log", "appended"));
    fs.vfs.answers.keep(request);
  }
  fs.vfs.answers.answered(101);
  await fs.vfs.checkpoint();
  fs.restart();
  expect(answersTo(fs, 101, 102)).toEqual([undefined, 0]);
  fs.vfs.answers.keep(102);
  fs.vfs.answers.forget();
  fs.vfs.persist();
  fs.restart();
  expect(answersTo(fs, 102)).toEqual([0]);
});

test("if a checkpoint fails while it keeps results, the next one has all changes", async () => {
  const fs = await VfsHarness.create();
  await asRequest(fs, 101, () => fs.make("made"));
  fs.restart();
  fs.disk.before = (call) => {
    if (call === "write") throw diskFull();
  };
  await expect(fs.vfs.checkpoint()).rejects.toThrow("full");
  fs.disk.before = () => {};
  await fs.vfs.checkpoint();
  fs.restart();
  expect(await fs.find("made")).toBeDefined();
  expect(answersTo(fs, 101)).toEqual([await fs.ino("made")]);
});
