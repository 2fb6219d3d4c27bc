/** Ignore rules that are saved while a pass runs. Editors empty or rename a file before they write it anew. */
import { expect, test } from "vitest";
import type { DiskPath } from "../../../../src/sync/disk/disk.ts";
import { afterListing, bucketTree, path, settle, settledTree, twoFolders } from "../../../support/sync-world.ts";

const RULES = path(".synclineignore");

/** Two settled folders; the first one has a file that the rules ignore. */
async function withSecret() {
  const { world, a, b } = await twoFolders();
  a.disk.write(RULES, "secret\n");
  a.disk.write(path("secret"), "private");
  a.disk.write(path("f"), "f");
  await settle(world);
  a.disk.tick(3_000_000_000n);
  const inBucket = async () => [...(await bucketTree(world.bucket)).keys()].sort();
  return { world, a, b, inBucket };
}

type Disk = Awaited<ReturnType<typeof withSecret>>["a"]["disk"];

const SAVES: [string, (disk: Disk, rules: DiskPath) => void, readonly string[]][] = [
  ["empties the rules", (disk, rules) => disk.write(rules, ""), []],
  ["leaves comments only", (disk, rules) => disk.write(rules, "# none\n"), []],
  ["moves the rules to a backup", (disk, rules) => disk.move(rules, path(".synclineignore~")), [".synclineignore~"]],
];

test.each(SAVES)(
  "an editor %s, and writes them during the scan: what they ignore stays here",
  async (_, save, more) => {
    const { world, a, inBucket } = await withSecret();
    save(a.disk, RULES);
    {
      using _saved = afterListing(a, "", () => a.disk.write(RULES, "secret\nmore\n"));
      await a.sync();
    }
    await settle(world);
    expect(await inBucket()).toEqual([RULES.join(""), ...more, "f"]);
  },
);

test.each(SAVES)(
  "an editor %s, and writes them after the pass: what they ignore stays in both folders, and all else syncs",
  async (_, save, more) => {
    const { world, a, b, inBucket } = await withSecret();
    b.disk.write(path("secret"), "private of b");
    save(a.disk, RULES);
    a.disk.write(path("new"), "new");
    expect((await a.sync()).hasNewRules).toBe(true);
    await b.sync();
    const there = await inBucket();
    expect([there.includes("new"), there.includes("secret")]).toEqual([true, false]);
    a.disk.write(RULES, "secret\nmore\n");
    await settle(world);
    expect(await inBucket()).toEqual([RULES.join(""), ...more, "f", "new"].sort());
  },
);

test.each(SAVES)("somebody %s for good: what they ignored is published by the second pass", async (_, save) => {
  const { world, a, inBucket } = await withSecret();
  save(a.disk, RULES);
  expect((await a.sync()).hasNewRules).toBe(true);
  expect(await inBucket()).not.toContain("secret");
  expect((await a.sync()).hasNewRules).toBe(false);
  expect(await inBucket()).toContain("secret");
  expect((await settledTree(world)).get("secret")).toBe("private");
});

test("other folders keep the rules while it is unsure that they were emptied", async () => {
  const { a, b } = await withSecret();
  a.disk.write(RULES, "");
  await a.sync();
  await b.sync();
  expect(b.disk.tree().get(RULES.join(""))).toBe("secret\n");
  await a.sync();
  await b.sync();
  expect(b.disk.tree().get(RULES.join(""))).toBe("");
});

test("a dry run shows what the second pass does once the rules are gone", async () => {
  const { a } = await withSecret();
  a.disk.remove(RULES);
  const { local } = await a.dryRun();
  expect(local.map(({ action }) => action).sort()).toEqual(["added", "deleted"]);
});

test.each([undefined, { things: 2, bytes: Infinity }])(
  "rules written during a scan hold for what it publishes (%o)",
  async (portion) => {
    const { a, inBucket } = await withSecret();
    a.portion = portion;
    for (const name of ["1", "2", "3", "4", "5", "private"]) a.disk.write(path(name), name);
    {
      using _saved = afterListing(a, "", () => a.disk.write(RULES, "secret\nprivate\n"));
      await a.sync();
    }
    expect(await inBucket()).toEqual([RULES.join(""), "1", "2", "3", "4", "5", "f"]);
  },
);

test("rules that never keep still end the pass, and nothing is published", async () => {
  const { a, inBucket } = await withSecret();
  a.disk.write(path("new"), "new");
  let saves = 0;
  using _saving = afterListing(a, "", () => a.disk.write(RULES, `secret\n${saves++}\n`));
  await expect(a.sync()).rejects.toMatchObject({
    code: "root_moved",
    message: expect.stringContaining("kept changing"),
  });
  expect(await inBucket()).toEqual([RULES.join(""), "f"]);
});

test.each(["before a pass", "during its scan"])(
  "what rules that are lifted %s ignored arrives from others",
  async (when) => {
    const { world, a, b } = await twoFolders();
    a.disk.write(path("f"), "f");
    await settle(world);
    b.disk.write(path("top"), "of b");
    await b.sync();
    a.disk.write(RULES, "top\n");
    await settle(world);
    a.disk.tick(3_000_000_000n);
    const lift = () => a.disk.write(RULES, "another\n");
    if (when === "before a pass") lift();
    {
      using _lifted = afterListing(a, "", when === "before a pass" ? () => {} : lift);
      await a.sync();
    }
    await settle(world);
    expect(a.disk.tree().has("top")).toBe(true);
  },
);
