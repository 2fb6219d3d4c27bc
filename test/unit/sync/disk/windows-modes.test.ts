/** Permissions of a folder on Windows, which only tells what is read-only, in others' folders. */
import { expect, test } from "vitest";
import type { DiskStat } from "../../../../src/sync/disk/disk.ts";
import { path, settle, type SyncedFolder, twoFolders } from "../../../support/sync-world.ts";

/** Two folders, the first one on a disk that shows modes as Node.js does on Windows. */
async function withWindows() {
  const { world, a, b } = await twoFolders();
  const { look, list, setMode } = a.disk;
  const shown = (stat: DiskStat) => ({ ...stat, mode: (stat.mode & 0o200) === 0 ? 0o444 : 0o666 });
  a.disk.look = async (at) => {
    const stat = await look.call(a.disk, at);
    return stat && shown(stat);
  };
  a.disk.list = async (at) => {
    const entries = await list.call(a.disk, at);
    return entries.map(({ name, stat }) => ({ name, stat: shown(stat) }));
  };
  a.disk.setMode = (at, mode) => setMode.call(a.disk, at, (mode & 0o200) === 0 ? 0o444 : 0o666);
  const attention = { modeMask: 0o1777, owners: false, onlyReadOnly: true };
  const both = () => settle(world, (folder) => (folder === a ? a.sync({ attention }) : b.sync()));
  return { a, b, both };
}

async function modes({ disk }: SyncedFolder, ...names: string[]): Promise<string[]> {
  const stats = await Promise.all(names.map((name) => disk.look(path(name))));
  return stats.map((stat) => (stat?.mode ?? 0).toString(8));
}

test("a new directory can be entered, and a new file be written by its owner alone", async () => {
  const { a, b, both } = await withWindows();
  a.disk.make(path("d"));
  for (const name of ["d/f", "d/read-only"]) a.disk.write(path(name), name);
  a.disk.chmod(path("d/read-only"), 0o444);
  await both();
  expect(await modes(b, "d", "d/f", "d/read-only")).toEqual(["755", "644", "444"]);
});

test("others' files keep their modes, but for what read-only means", async () => {
  const { a, b, both } = await withWindows();
  b.disk.make(path("d"));
  for (const name of ["d/tool", "d/private"]) b.disk.write(path(name), name);
  b.disk.chmod(path("d"), 0o700);
  b.disk.chmod(path("d/tool"), 0o755);
  b.disk.chmod(path("d/private"), 0o600);
  await both();
  for (const name of ["d/tool", "d/private"]) a.disk.write(path(name), `edited ${name}`);
  await both();
  expect(await modes(b, "d", "d/tool", "d/private")).toEqual(["700", "755", "600"]);
  a.disk.chmod(path("d"), 0o444);
  for (const name of ["d/tool", "d/private"]) a.disk.chmod(path(name), 0o444);
  await both();
  expect(await modes(b, "d", "d/tool", "d/private")).toEqual(["700", "555", "400"]);
  for (const name of ["d/tool", "d/private"]) a.disk.chmod(path(name), 0o666);
  await both();
  expect(await modes(b, "d", "d/tool", "d/private")).toEqual(["700", "755", "600"]);
});
