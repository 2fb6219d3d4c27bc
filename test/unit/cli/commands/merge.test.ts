/** `syncline merge --dry-run`: what would happen, by which rule, and nothing is written. */
import { expect, test } from "vitest";
import { name } from "../../../support/epochs.ts";
import { ConflictedBucket, write } from "../../../support/conflicted-bucket.ts";

async function world() {
  const bucket = await ConflictedBucket.create();
  const [base = ""] = await bucket.edit(async (writer) => {
    for (const file of ["both.bin", "gone.txt", "mine.txt", "same.txt"]) await write(file, "a\nb\nc\n")(writer);
    await write("text.txt", "a\nb\nc\n")(writer);
  });
  const [x = ""] = await bucket.edit(async (writer) => {
    await write("both.bin", "x")(writer);
    await write("mine.txt", "x")(writer);
    await write("text.txt", "x\nb\nc\n")(writer);
    await writer.remove([name("gone.txt")]);
  });
  // The other side begins with the base again.
  await bucket.run("restore", bucket.address, "--at", base);
  const [y = ""] = await bucket.edit(async (writer) => {
    await write("both.bin", "y")(writer);
    await write("gone.txt", "y")(writer);
    await write("new/f", "y")(writer);
    await write("text.txt", "a\nb\ny\n")(writer);
  });
  return { bucket, base, x, y };
}

test("a dry run lists each path with what both sides did and the deciding rule, and the conflicts", async () => {
  const { bucket, base, x, y } = await world();
  const [told] = await bucket.json("merge", "--dry-run", bucket.address, base, x, y);
  expect(told).toMatchObject({ base, x, y, winner: "y", complete: true });
  const copy = expect.stringMatching(/^both \(conflict [0-9a-f]{8}\)\.bin$/);
  expect(told?.["conflicts"]).toMatchObject([
    { kind: "copy", rule: "content / content", kept: "both.bin", other: copy },
  ]);
  expect(told?.["paths"]).toEqual([
    { path: copy, x: "nothing", y: "nothing", merged: "added", rule: "content / content" },
    { path: "both.bin", x: "changed", y: "changed", merged: "changed", rule: "content / content" },
    { path: "gone.txt", x: "removed", y: "changed", merged: "changed", rule: "content / delete" },
    { path: "mine.txt", x: "changed", y: "nothing", merged: "changed", rule: "changed on one side only" },
    { path: "new", x: "nothing", y: "added", merged: "added", rule: "changed on one side only" },
    { path: "new/f", x: "nothing", y: "added", merged: "added", rule: "changed on one side only" },
    {
      path: "text.txt",
      x: "changed",
      y: "changed",
      merged: "changed",
      rule: "content / content, text, or append / append on a log",
    },
  ]);
});

test("a dry run writes nothing, whichever side is named first", async () => {
  const { bucket, base, x, y } = await world();
  const before = await bucket.json("log", bucket.address);
  const [one, other] = [
    await bucket.json("merge", "--dry-run", bucket.address, base, x, y),
    await bucket.json("merge", "--dry-run", bucket.address, base, y, x),
  ];
  expect(other[0]).toMatchObject({ tree: one[0]?.["tree"], winner: "x" });
  expect(await bucket.json("log", bucket.address)).toEqual(before);
  const { out } = await bucket.run("merge", "--dry-run", bucket.address, base, x, y);
  expect(out).toContain("~ mine.txt  (x changed, y nothing: changed on one side only)\n");
  expect(out).toMatch(/^copy: both \(conflict [0-9a-f]{8}\)\.bin is the loser's version of both\.bin/m);
});

test("merge without --dry-run is a usage error, since publishing merges by itself", async () => {
  const { bucket, base, x, y } = await world();
  expect((await bucket.run("merge", bucket.address, base, x, y)).status).toBe(2);
});
