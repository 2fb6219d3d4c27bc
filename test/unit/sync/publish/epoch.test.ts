/** The record of an epoch that is being published. */
import { expect, test } from "vitest";
import { parseSealed } from "../../../../src/sync/publish/sealed.ts";
import { path, settle, settledTree, twoFolders } from "../../../support/sync-world.ts";

test("an epoch's record has what the epoch changes, not all that was looked at", async () => {
  const { world, a } = await twoFolders();
  const files = Array.from({ length: 20 }, (_, at) => path(`f${at}`));
  for (const file of files) a.disk.write(file, file.join());
  await settle(world);
  a.disk.tick(3_000_000_000n);
  // The files are looked at again, since their ctime changes.
  for (const file of files) a.disk.chmod(file, 0o644);
  a.disk.write(path("f1"), "edited");
  let sealed = "";
  world.remote.beforeSwap = async () => void (sealed = a.db.fact("under way") ?? "");
  await a.sync();
  world.remote.beforeSwap = async () => {};
  expect(parseSealed(sealed).there.map((look) => look.path)).toEqual([[Buffer.from("f1").toString("base64")]]);
  expect((await settledTree(world)).get("f1")).toBe("edited");
});
