/** A process that dies while its swap is on the way, which arrives when the next one works already. */
import { describe, expect, test } from "vitest";
import { SynclineError } from "../../../src/base/errors.ts";
import { thin } from "../../../src/bucket/gc/thin.ts";
import { Crash } from "../../../src/simulate/folder/memory-sync-disk.ts";
import {
  bucketTree,
  path,
  settle,
  settledTree,
  type SyncedFolder,
  type SyncWorld,
  twoFolders,
} from "../../support/sync-world.ts";
import { hurriedClock, newWriter, openBucket, seededStream } from "../../support/test-bucket.ts";

/** A folder with changes whose swap nobody has seen arrive, and no process. */
async function late(
  change: (folder: SyncedFolder) => void,
): Promise<{ world: SyncWorld; a: SyncedFolder; b: SyncedFolder }> {
  const { world, a, b } = await twoFolders();
  for (const each of ["kept.bin", "edited.bin", "removed.bin"]) a.disk.write(path(each), `old ${each}`);
  await settle(world);
  a.disk.tick(3_000_000_000n);
  change(a);
  await dyingWithLateSwap(world, a);
  return { world, a, b };
}

async function dyingWithLateSwap({ remote }: SyncWorld, a: SyncedFolder): Promise<void> {
  remote.faults.push("late");
  let swaps = 0;
  remote.beforeSwap = async () => {
    if (++swaps === 2) throw new Crash("The process died.");
  };
  await expect(a.sync()).rejects.toThrow(Crash);
  remote.beforeSwap = async () => {};
  a.disk.tick(3_000_000_000n);
}

/** The late swap arrives just before the next one. */
function landBeforeTheNext({ remote }: SyncWorld): void {
  remote.beforeSwap = async () => {
    remote.beforeSwap = async () => {};
    remote.landLate();
  };
}

describe("when a dead process's swap arrives just before the next one,", () => {
  test("a file edited since has no conflict with its own older version", async () => {
    const { world, a } = await late(({ disk }) => disk.write(path("edited.bin"), "sent"));
    a.disk.write(path("edited.bin"), "sent, and edited");
    landBeforeTheNext(world);
    await a.sync();
    expect(Object.fromEntries(await settledTree(world))).toEqual({
      "kept.bin": "old kept.bin",
      "edited.bin": "sent, and edited",
      "removed.bin": "old removed.bin",
    });
  });

  test("a new file removed since does not come back", async () => {
    const { world, a } = await late(({ disk }) => disk.write(path("new.bin"), "sent"));
    a.disk.remove(path("new.bin"));
    a.disk.write(path("another.bin"), "another");
    landBeforeTheNext(world);
    await a.sync();
    expect([...(await settledTree(world)).keys()].sort()).toEqual([
      "another.bin",
      "edited.bin",
      "kept.bin",
      "removed.bin",
    ]);
  });

  test("a file removed and recreated since exists once, in its new version", async () => {
    const { world, a } = await late(({ disk }) => disk.remove(path("removed.bin")));
    a.disk.write(path("removed.bin"), "anew");
    landBeforeTheNext(world);
    await a.sync();
    const whole = await settledTree(world);
    expect([...whole.values()].sort()).toEqual(["anew", "old edited.bin", "old kept.bin"]);
  });

  test("others' changes merge as usual", async () => {
    const { world, a, b } = await late(({ disk }) => disk.write(path("edited.bin"), "sent"));
    a.disk.write(path("edited.bin"), "sent, and edited");
    landBeforeTheNext(world);
    b.disk.write(path("kept.bin"), "of the other");
    await a.sync();
    await b.sync();
    expect(Object.fromEntries(await settledTree(world))).toEqual({
      "kept.bin": "of the other",
      "edited.bin": "sent, and edited",
      "removed.bin": "old removed.bin",
    });
  });
});

describe("an epoch that can no longer arrive is not waited for:", () => {
  test("one that arrived, and whose commit is no longer kept", async () => {
    const { world, a, b } = await late(({ disk }) => disk.write(path("new.bin"), "sent"));
    world.remote.landLate();
    // Of those of one day the last is kept.
    for (const [each, hours] of [0, 0, 20, 20, 20, 20].entries()) {
      b.disk.tick(BigInt(hours) * 3_600_000_000_000n + 3_000_000_000n);
      b.disk.write(path("of b.bin"), `version ${each}`);
      await b.sync();
    }
    const bucket = await openBucket(world.remote);
    const { writer } = await newWriter(bucket, 999, seededStream(999));
    const nowNs = b.disk.nowNs() + 400n * 86_400_000_000_000n;
    const clock = { ...hurriedClock, nowNs: () => nowNs };
    const report = await thin({ bucket, writer, clock, random: seededStream(5), dryRun: false });
    expect(report.commits.after).toBeLessThan(report.commits.before);
    a.disk.tick(3_000_000_000n);
    await a.sync();
    expect((await settledTree(world)).get("new.bin")).toBe("sent");
    expect(a.db.fact("late")).toBeUndefined();
  });

  test("one whose number was reused by a restored state", async () => {
    const { world, a } = await late(({ disk }) => disk.write(path("new.bin"), "sent"));
    const facts = (["base", "epoch", "under way"] as const).map((key) => [key, a.db.fact(key)] as const);
    await settle(world);
    for (const [key, value] of facts) a.db.setFact(key, value);
    a.disk.tick(3_000_000_000n);
    await a.sync();
    expect(a.db.fact("late")).toBeUndefined();
  });

  test("one that was never sent", async () => {
    const { world, a } = await twoFolders();
    await settle(world);
    a.disk.write(path("new.bin"), "new");
    world.remote.beforePrepare = async () => {
      throw new SynclineError("over_quota", "No room.");
    };
    for (let pass = 0; pass < 3; pass++) await expect(a.sync()).rejects.toThrow("No room.");
    expect([a.db.fact("under way"), a.db.fact("late")]).toEqual([undefined, undefined]);
  });
});

test("files removed since do not come back when a late swap arrives after an epoch that changed nothing", async () => {
  const { world, a, b } = await twoFolders();
  for (const each of ["kept.bin", "removed.bin"]) a.disk.write(path(each), `old ${each}`);
  await settle(world);
  b.disk.remove(path("removed.bin"));
  await b.sync();
  a.disk.tick(3_000_000_000n);
  a.disk.write(path("new.bin"), "sent");
  await dyingWithLateSwap(world, a);
  for (const each of ["new.bin", "removed.bin"]) a.disk.remove(path(each));
  await a.sync();
  world.remote.landLate();
  expect([...(await settledTree(world)).keys()]).toEqual(["kept.bin"]);
});

test("files removed since do not come back when a late swap arrives after a pass with nothing to send", async () => {
  const { world, a } = await late(({ disk }) => disk.write(path("new.bin"), "sent"));
  a.disk.remove(path("new.bin"));
  await a.sync();
  world.remote.landLate();
  a.disk.tick(3_000_000_000n);
  expect([...(await settledTree(world)).keys()].sort()).toEqual(["edited.bin", "kept.bin", "removed.bin"]);
});

test("changes whose late swap lost to another folder's go with the next epoch", async () => {
  const { world, a, b } = await late(({ disk }) => disk.write(path("new.bin"), "sent"));
  b.disk.write(path("of the other"), "of the other");
  await b.sync();
  world.remote.landLate();
  await a.sync();
  expect((await bucketTree(world.bucket)).get("new.bin")).toBe("sent");
  const whole = await settledTree(world);
  expect([...whole.keys()].sort()).toEqual(["edited.bin", "kept.bin", "new.bin", "of the other", "removed.bin"]);
});
