/** A large checkpoint is written in portions: what happens between two of them. */
import { expect, test } from "vitest";
import type { Ino } from "../../../../src/base/ids.ts";
import { VfsHarness } from "../../../support/vfs-harness.ts";

const FILES = 60;

/** Starts a checkpoint of several portions, and does `work` between two of them. */
async function between(work: (fs: VfsHarness, inos: readonly Ino[]) => void) {
  const fs = await VfsHarness.create({ checkpointBytes: 16 * 1024 });
  const inos: Ino[] = [];
  for (let index = 0; index < FILES; index++) inos.push(await fs.make(`f${index}`));
  let portions = 0;
  fs.disk.before = (call) => {
    if (call === "apply" && ++portions === 3) work(fs, inos);
  };
  const done = fs.vfs.checkpoint().then(
    () => "done",
    (error: { code: string }) => error.code,
  );
  return { fs, inos, done, portions: () => portions };
}

test("a seal and later changes in between are not in it, and a start finds them", async () => {
  let sealed: unknown;
  const { fs, done, portions } = await between(({ vfs }, inos) => {
    sealed = vfs.seal();
    for (const ino of inos) vfs.setAttributes(ino, { mode: 0o600 });
    vfs.persist();
  });
  expect(await done).toBe("done");
  expect(portions()).toBeGreaterThan(5);
  for (let starts = 0; starts < 2; starts++) {
    fs.restart();
    expect(fs.vfs.seal()).toEqual(sealed);
    expect((await fs.find("f7"))?.mode).toBe(0o100600);
    await fs.vfs.checkpoint();
  }
});

test("a kill in between leaves the state before, and the journal has the rest", async () => {
  const { fs, done } = await between((at) => at.restart());
  expect(await fs.list("")).toHaveLength(FILES);
  await done;
  expect(await fs.list("")).toHaveLength(FILES);
});

test("a close in between waits for it", async () => {
  let closing: Promise<void> | undefined;
  const { fs, done } = await between(({ vfs }) => void (closing = vfs.close()));
  expect(await done).toBe("done");
  await closing;
  fs.restart();
  expect(await fs.list("")).toHaveLength(FILES);
});

test("inode rows are not written in between: after a failure they would be lost", async () => {
  const calls: string[] = [];
  const { done } = await between(({ disk, objects }) => {
    const { before } = disk;
    disk.before = (call) => void calls.push(call);
    objects.overlay.removeInodes([77 as Ino]);
    disk.before = before;
  });
  expect([await done, calls]).toEqual(["done", []]);
});
