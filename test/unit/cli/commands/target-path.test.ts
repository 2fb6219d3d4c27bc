/** Which bucket a path means where several mounts and synced folders are known above it, some of them long ended. */
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, expect, test, vi } from "vitest";
import type { StateFacts } from "../../../../src/agent/state/state-dir.ts";
import { nameFromText } from "../../../../src/base/names.ts";
import { belowMount } from "../../../../src/cli/commands/target-path.ts";
import { createFakeRuntime } from "../../../support/fake-runtime.ts";
import { listedState, serveAnswers } from "../../../support/served-state.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";

const table = vi.hoisted(() => ({ places: [] as string[], source: "bucket" }));

vi.mock(import("../../../../src/fuse/mount-table.ts"), async (original) => {
  const actual = await original();
  const line = (mountPoint: string) => `40 1 0:7 / ${mountPoint} rw - ${actual.MOUNT_TYPE} ${table.source} rw`;
  return { ...actual, readMountTable: async () => actual.parseMountTable(table.places.map(line).join("\n")) };
});

let space: string;

beforeEach(async () => {
  space = await temporaryFolder();
  table.places = [];
  table.source = "bucket";
  for (const folder of ["data/photos", "work"]) mkdirSync(join(space, folder), { recursive: true });
});

/** Lists a mount or folder whose agent has ended, or one that an agent serves. */
async function list(
  address: string,
  mount: string,
  { served = false, ...more }: Partial<StateFacts> & { served?: boolean },
) {
  const stateDir = listedState(join(space, "states"), { address, mount: join(space, mount), ...more });
  if (served) await serveAnswers(stateDir);
}

async function meant(path: string) {
  const runtime = createFakeRuntime({});
  const { address, names, served } = await belowMount(runtime, join(space, "states"), join(space, path));
  return { address, names, isServed: served !== undefined };
}

const names = (...texts: string[]) => texts.map(nameFromText);

test("a mount that was ended does not count below one that is served", async () => {
  await list("file:///a", "data", { served: true });
  await list("file:///b", "data/photos", {});
  const target = { address: "file:///a", names: names("photos", "x.jpg"), isServed: true };
  expect(await meant("data/photos/x.jpg")).toEqual(target);
});

test("where nothing is served, the nearest mount that was ended counts", async () => {
  await list("file:///a", "data", {});
  await list("file:///b", "data/photos", {});
  const target = { address: "file:///b", names: names("x.jpg"), isServed: false };
  expect(await meant("data/photos/x.jpg")).toEqual(target);
});

test("a synced folder in a mount counts without an agent, as long as it has its marker", async () => {
  await list("file:///a", "data", { served: true });
  await list("file:///b", "data/photos", { door: "sync" });
  const marker = join(space, "data/photos/.syncline/folder.json");
  mkdirSync(join(marker, ".."));
  writeFileSync(marker, "{}");
  expect(await meant("data/photos/x.jpg")).toMatchObject({ address: "file:///b", names: names("x.jpg") });
  rmSync(marker);
  expect(await meant("data/photos/x.jpg")).toMatchObject({ address: "file:///a", names: names("photos", "x.jpg") });
});

test("a mount whose agent was killed still counts, as its place shows nothing else", async () => {
  await list("file:///a", "data", { served: true });
  await list("file:///b", "data/photos", {});
  table.places.push(join(space, "data/photos"));
  expect(await meant("data/photos/x.jpg")).toMatchObject({ address: "file:///b", names: names("x.jpg") });
});

test("a mount that was ended does not hide a synced folder that a link in its place leads to", async () => {
  await list("file:///a", "data", {});
  await list("file:///b", "work", { door: "sync", served: true });
  symlinkSync(join(space, "work"), join(space, "data/link"));
  expect(await meant("data/link")).toMatchObject({ address: "file:///b", names: [] });
});

test("a link to a mount means the mount, and a link in a mount means the link", async () => {
  await list("file:///a", "data", { served: true });
  symlinkSync("data", join(space, "link"));
  symlinkSync("photos", join(space, "data/latest"));
  expect(await meant("link")).toMatchObject({ names: [] });
  expect(await meant("link/photos")).toMatchObject({ names: names("photos") });
  expect(await meant("data/latest")).toMatchObject({ names: names("latest") });
});

test("another bucket that is mounted in the same place, or below, is not taken for one that was ended", async () => {
  await list("file:///a", "data", {});
  table.places.push(join(space, "data"));
  table.source = "file:///b";
  await expect(meant("data/photos")).rejects.toMatchObject({ code: "no_agent" });
  table.source = "file:///a#pin";
  expect(await meant("data/photos")).toMatchObject({ address: "file:///a", names: names("photos") });
  table.places = [join(space, "data/photos")];
  table.source = "file:///b";
  expect(await meant("data")).toMatchObject({ address: "file:///a", names: [] });
  await expect(meant("data/photos/x.jpg")).rejects.toMatchObject({ code: "no_agent" });
});
