/** What a pass tells of how far it is, and the garbage of its portions. */
import { expect, test } from "vitest";
import { createProgress } from "../../../src/cli/terminal/progress.ts";
import { passProgress } from "../../../src/cli/commands/sync.ts";
import { createFakeRuntime } from "../../support/fake-runtime.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { byNumber, write } from "../../support/portions.ts";
import { path, twoFolders } from "../../support/sync-world.ts";

function watched() {
  const told = { totals: [] as { files: number; bytes: number }[], files: 0, bytes: 0, before: 0 };
  const progress = {
    sending: (all: { files: number; bytes: number }) => void told.totals.push(all),
    sent: (bytes: number, isEnd: boolean) => {
      if (told.totals.length === 0) told.before++;
      told.files += isEnd ? 1 : 0;
      told.bytes += bytes;
    },
  };
  return { told, progress };
}

const FILES = { "d/one": "1", "d/e/two": "22", three: "333", empty: "", large: "x".repeat(200_000) };

test.each([undefined, byNumber(1)])(
  "the total to send is known before the first upload: portions of %j",
  async (portion) => {
    const { a } = await twoFolders();
    a.portion = portion;
    write(a.disk, FILES);
    a.disk.tick(3_000_000_000n);
    const { told, progress } = watched();
    await a.sync({ progress });
    expect(told.before).toBe(0);
    expect(told.totals[0]).toEqual({ files: 4, bytes: 200_006 });
    expect([told.files, told.bytes]).toEqual([4, 200_006]);
  },
);

test("only the file that is sent counts for an edit", async () => {
  const { a } = await twoFolders();
  write(a.disk, FILES);
  await a.sync();
  a.disk.tick(3_000_000_000n);
  a.disk.write(path("three"), "4444");
  a.disk.tick(3_000_000_000n);
  const { told, progress } = watched();
  await a.sync({ progress });
  expect(told.totals).toEqual([{ files: 1, bytes: 4 }]);
  expect([told.files, told.bytes]).toEqual([1, 4]);
});

test("a pass that uploads reports percent and time left", async () => {
  const clock = new ManualClock();
  const runtime = { ...createFakeRuntime({}), clock };
  using pass = passProgress(createProgress(runtime, { label: "sync", total: undefined, hidden: false }));
  {
    using _looking = pass.looking?.();
    await clock.advance(10_000);
    pass.sending?.({ files: 4, bytes: 4096 });
  }
  for (let file = 0; file < 2; file++) pass.sent?.(1024, true);
  await clock.advance(10_000);
  expect(runtime.err().split("\n")).toEqual([
    "sync  scanning the folder  for 10.0 s",
    expect.stringMatching(/^sync {3}50% .* left {2}2 of 4 files {2}2.00 KiB of 4.00 KiB/),
    "",
  ]);
});

test("garbage is collected after every two portions", async () => {
  const { a } = await twoFolders();
  a.portion = byNumber(1);
  write(a.disk, Object.fromEntries([1, 2, 3, 4, 5].map((file) => [`d${file}/f`, `${file}`])));
  a.disk.tick(3_000_000_000n);
  let collections = 0;
  const { told, progress } = watched();
  await a.sync({ progress, collect: () => void collections++ });
  expect(told.files).toBe(5);
  expect(collections).toBeGreaterThanOrEqual(2);
  collections = 0;
  a.disk.write(path("d1/f"), "another");
  a.disk.tick(3_000_000_000n);
  await a.sync({ collect: () => void collections++ });
  expect(collections).toBe(0);
});
