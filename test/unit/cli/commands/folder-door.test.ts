/** Where a folder beside a mount may lie. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { Call } from "../../../../src/cli/command.ts";
import { folderBeside } from "../../../../src/cli/commands/folder-door.ts";
import { createFakeRuntime } from "../../../support/fake-runtime.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";

async function placed(mount: string, sync: string) {
  const folder = await temporaryFolder();
  mkdirSync(join(folder, "mnt"));
  const options = { sync: join(folder, sync), state: join(folder, "states") };
  const call = { options, runtime: createFakeRuntime({}) } as unknown as Call<"sync" | "readOnly" | "at">;
  return folderBeside(call, "https://master.example/notes", join(folder, mount));
}

test.each([
  ["inside the mount", "mnt", "mnt/work"],
  ["that is the mount itself", "mnt", "mnt"],
  ["inside the mount with a name that begins with two dots", "mnt", "mnt/..name"],
  ["that contains the mount", "work/mnt", "work"],
])("a folder %s is refused, with a hint", async (_, mount, sync) => {
  await expect(placed(mount, sync)).rejects.toMatchObject({ code: "usage", hint: expect.any(String) as string });
});

test("a folder beside the mount whose name starts with the mount's is accepted", async () => {
  expect(await placed("mnt", "mnt2")).toMatchObject({ door: "sync" });
});

test("a file in place of the folder is refused before any door opens", async () => {
  const folder = await temporaryFolder();
  writeFileSync(join(folder, "file"), "");
  const options = { sync: join(folder, "file"), state: join(folder, "states") };
  const call = { options, runtime: createFakeRuntime({}) } as unknown as Call<"sync" | "readOnly" | "at">;
  await expect(folderBeside(call, "https://master.example/notes")).rejects.toMatchObject({ code: "not_a_directory" });
});

test("an agent that takes over does not look at the folder before its mount is served", async () => {
  const folder = await temporaryFolder();
  const sync = join(folder, "file");
  writeFileSync(sync, "");
  const place = { stateRoot: folder, mount: "/mnt", sync, connection: "5a" };
  const runtime = createFakeRuntime({ SYNCLINE_HANDOFF: "45 128 0", SYNCLINE_PLACE: JSON.stringify(place) });
  const call = { options: { sync, state: folder }, runtime } as unknown as Call<"sync" | "readOnly" | "at">;
  expect(await folderBeside(call, "https://master.example/notes", "/mnt")).toMatchObject({ mount: sync, door: "sync" });
});
