/** A mass deletion with real processes: three synced folders, one approval, and everything else goes on meanwhile. */
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { afterAll, expect, test } from "vitest";
import { Workspace } from "../support/syncline.ts";

const space = new Workspace("sync-approval");
afterAll(() => space[Symbol.dispose]());
/** Longer than the scan that finds what was never noticed is away. */
const soon = { timeout: 90_000, interval: 50 };

interface Held {
  readonly digest: string;
  readonly files: number;
}

test(
  "one machine approves a mass deletion, the others follow without asking, and other changes flow meanwhile",
  { timeout: 400_000 },
  async () => {
    const url = space.url("bucket");
    const [a, b, c, offline] = ["a", "b", "c", "offline"].map((name) => space.at(name)) as [
      string,
      string,
      string,
      string,
    ];
    mkdirSync(`${a}/d`, { recursive: true });
    for (let each = 0; each < 120; each++) writeFileSync(`${a}/d/${each}.bin`, `${each}`);
    writeFileSync(`${a}/beside.bin`, "beside");
    space.do("init", url);
    for (const folder of [a, b, c, offline]) space.json("sync", url, folder, "--once");
    for (const folder of [a, b, c]) space.start(["sync", url, folder]);
    for (const folder of [a, b, c])
      await expect.poll(() => space.run(["status", folder, "--json"]).status, soon).toBe(0);

    // At once, so that no scan sees a part of it.
    renameSync(`${a}/d`, space.at("away"));
    expect(space.run(["flush", a, "--json"]).status).toBe(7);
    const held = space.status(a)["guard"] as Held;
    expect(held.files).toBe(120);
    writeFileSync(`${a}/from a.bin`, "a");
    writeFileSync(`${b}/from b.bin`, "b");
    await expect.poll(() => existsSync(`${b}/from a.bin`) && existsSync(`${c}/from a.bin`), soon).toBe(true);
    await expect.poll(() => existsSync(`${a}/from b.bin`) && existsSync(`${c}/from b.bin`), soon).toBe(true);
    expect([readdirSync(`${b}/d`).length, readdirSync(`${c}/d`).length]).toEqual([120, 120]);
    expect(existsSync(`${a}/d`)).toBe(false);

    // Edited where nobody has heard of the deletion yet.
    writeFileSync(`${offline}/d/7.bin`, "edited while offline");
    expect((space.status(a)["guard"] as Held).digest).toBe(held.digest);
    expect(space.json("flush", a, "--allow-deletes", held.digest)).toMatchObject({ published: true });
    for (const folder of [b, c]) await expect.poll(() => existsSync(`${folder}/d`), soon).toBe(false);
    for (const folder of [a, b, c]) expect(space.status(folder)["guard"]).toBeNull();
    writeFileSync(`${c}/later.bin`, "later");
    await expect.poll(() => existsSync(`${a}/later.bin`), soon).toBe(true);

    expect(space.json("sync", url, offline, "--once")).toMatchObject({ guard: null });
    const names = (folder: string) =>
      readdirSync(folder, { recursive: true })
        .filter((each) => !`${each}`.startsWith(".syncline"))
        .sort();
    const all = ["beside.bin", "d", "d/7.bin", "from a.bin", "from b.bin", "later.bin"];
    expect(names(offline)).toEqual(all);
    for (const folder of [a, b, c]) {
      await expect.poll(() => names(folder), soon).toEqual(all);
      expect(readFileSync(`${folder}/d/7.bin`, "utf8")).toBe("edited while offline");
      expect(space.json("unmount", folder)).toMatchObject({ drained: true });
    }
  },
);

test("a start with an approval publishes the deletions, and a dry run with it shows them", async () => {
  const [url, folder] = [space.url("approved-bucket"), space.at("approved")];
  mkdirSync(`${folder}/d`, { recursive: true });
  for (let each = 0; each < 120; each++) writeFileSync(`${folder}/d/${each}.bin`, `${each}`);
  space.do("init", url);
  space.json("sync", url, folder, "--once");
  renameSync(`${folder}/d`, space.at("approved-away"));
  const refused = space.run(["sync", url, folder, "--once", "--json"]);
  expect(refused.status).toBe(7);
  const { digest } = (JSON.parse(refused.out) as { guard: Held }).guard;
  const plan = space.lines("sync", url, folder, "--dry-run", "--allow-deletes", digest);
  expect(plan.at(-1)).toMatchObject({ guard: null });
  space.start(["sync", url, folder, "--allow-deletes", digest]);
  await expect.poll(() => space.run(["status", folder, "--json"]).status, soon).toBe(0);
  expect(space.json("unmount", folder)).toMatchObject({ drained: true });
  expect(space.lines("ls", url)).toEqual([]);
});
