/** A killed pass left a directory parked. Units that the folder changes before it is back are published. */
import { expect, test } from "vitest";
import { killed, path, settle, settledTree, twoFolders } from "../../../support/sync-world.ts";

test("a repository is published although others changed a file in a directory that is parked", async () => {
  let isKilled = true;
  for (let change = 0; isKilled; change++) {
    const { world, a, b } = await twoFolders();
    for (const name of [".git", "d", "e"]) a.disk.make(path(name));
    for (const name of [".git/head", "d/f", "e/f"]) a.disk.write(path(name), "old");
    await settle(world);
    for (const { disk } of [a, b]) disk.tick(3_000_000_000n);
    b.disk.move(path("d"), path("e"), "exchange");
    for (const name of ["d/f", "e/f"]) b.disk.write(path(name), "of b");
    await b.sync();
    isKilled = await killed(a, change);
    a.disk.write(path(".git/head"), "of a");
    await a.sync();
    const whole = await settledTree(world);
    expect([whole.get(".git/head"), whole.get("d/f"), whole.get("e/f")]).toEqual(["of a", "of b", "of b"]);
  }
});
