/** `syncline conflicts`: what lost the conflict in a merge is found, shown, compared and decided. */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { name } from "../../../support/epochs.ts";
import { ConflictedBucket, MACHINE, write } from "../../../support/conflicted-bucket.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";

const COPY = /^a\/notes \(conflict [0-9a-f]{8}\)\.bin$/;

/** Two writers changed a/notes.bin; which of them won is the order of their ids, so it is read back. */
async function conflicted() {
  const bucket = await ConflictedBucket.create();
  await bucket.edit(async (writer) => {
    await write("a/notes.bin", "old\n")(writer);
    await write("a/other.bin", "same\n")(writer);
  });
  const [, merged = ""] = await bucket.edit(write("a/notes.bin", "one\n"), write("a/notes.bin", "two\n"));
  const paths = await bucket.paths();
  const copy = Object.keys(paths).find((path) => COPY.test(path)) ?? "";
  return { bucket, merged, copy, kept: paths["a/notes.bin"] ?? "", gave: paths[copy] ?? "" };
}

const url = (bucket: ConflictedBucket, path: string) => `${bucket.address}/${path}`;

describe("list", () => {
  test("names each conflict with its copy, machine, time and rule", async () => {
    const { bucket, merged, copy } = await conflicted();
    // Later commits do not change since when it is there.
    await bucket.edit(write("later", "l"));
    const [found, ...rest] = await bucket.json("conflicts", "list", bucket.address);
    expect(rest).toEqual([]);
    expect(found).toMatchObject({
      path: "a/notes.bin",
      machine: MACHINE,
      rule: "content / content or create / create",
      copies: [{ path: copy, kind: "copy", type: "file", size: 4, root: merged }],
    });
    const commit = (await bucket.json("log", bucket.address)).find(({ root }) => root === merged);
    expect(found?.["time"]).toBe(commit?.["time"]);
  });

  test("shows only conflicts below a directory, also of an old root", async () => {
    const { bucket, merged, copy } = await conflicted();
    await bucket.edit(write("b/f", "f"));
    expect(await bucket.json("conflicts", "list", url(bucket, "b"))).toEqual([]);
    expect(await bucket.json("conflicts", "list", url(bucket, "a"))).toHaveLength(1);
    await bucket.run("conflicts", "resolve", url(bucket, copy), "--keep", "kept");
    expect(await bucket.json("conflicts", "list", bucket.address)).toEqual([]);
    expect(await bucket.json("conflicts", "list", bucket.address, "--at", merged)).toHaveLength(1);
    expect((await bucket.run("conflicts", "list", bucket.address)).out).toBe("No conflicts.\n");
  });

  test("a file that lost to a directory is listed as displaced", async () => {
    const bucket = await ConflictedBucket.create();
    await bucket.edit(write("x/f", "in the directory"), write("x", "a file"));
    const [found] = await bucket.json("conflicts", "list", bucket.address);
    expect(found).toMatchObject({ path: "x", rule: "file / directory at one name", copies: [{ kind: "displaced" }] });
  });
});

test("show prints the versions, the rule and its cause", async () => {
  const { bucket, copy } = await conflicted();
  const [shown] = await bucket.json("conflicts", "show", url(bucket, "a/notes.bin"));
  expect(shown).toMatchObject({
    path: "a/notes.bin",
    kept: { path: "a/notes.bin", size: 4, machine: MACHINE },
    copies: [{ path: copy, cause: expect.stringMatching(/^Writer [0-9a-f]{32} changed it in epoch \d+/) }],
  });
  expect(await bucket.json("conflicts", "show", url(bucket, copy))).toEqual([shown]);
  expect((await bucket.run("conflicts", "show", url(bucket, "a/other.bin"))).status).toBe(1);
});

describe("diff", () => {
  test("is a patch from the kept version to the one that lost the conflict", async () => {
    const { bucket, copy, kept, gave } = await conflicted();
    const { lines } = await bucket.run("conflicts", "diff", url(bucket, "a/notes.bin"));
    expect(lines.slice(1)).toEqual([
      "--- a/notes.bin",
      `+++ ${copy}`,
      "@@ -1,1 +1,1 @@",
      `-${kept.trim()}`,
      `+${gave.trim()}`,
    ]);
  });

  test("says when the files are binary", async () => {
    const bucket = await ConflictedBucket.create();
    await bucket.edit(write("f", "a\0"), write("f", "bb\0"));
    const [found] = await bucket.json("conflicts", "diff", url(bucket, "f"));
    expect(found).toMatchObject({ patch: null, reason: expect.stringContaining("binary") });
  });
});

describe("resolve", () => {
  test.each([
    ["kept", (kept: string) => ({ "a/notes.bin": kept })],
    ["copy", (_: string, gave: string) => ({ "a/notes.bin": gave })],
    ["both", (kept: string, gave: string) => ({ "a/notes.bin": kept, "a/notes (2).bin": gave })],
  ])("--keep %s resolves the conflict, and restore brings it back", async (keep, expected) => {
    const { bucket, merged, copy, kept, gave } = await conflicted();
    const before = await bucket.paths();
    expect((await bucket.run("conflicts", "resolve", url(bucket, "a/notes.bin"), "--keep", keep)).status).toBe(0);
    expect(await bucket.paths()).toEqual({ a: "dir", "a/other.bin": "same\n", ...expected(kept, gave) });
    expect(await bucket.json("conflicts", "list", bucket.address)).toEqual([]);
    expect((await bucket.run("verify", bucket.address)).status).toBe(0);
    await bucket.run("restore", url(bucket, "a"), "--at", merged);
    expect(await bucket.paths()).toEqual(before);
    expect(await bucket.json("conflicts", "list", bucket.address)).toMatchObject([{ copies: [{ path: copy }] }]);
  });

  test.each([
    ["kept", { x: "dir", "x/f": "in the directory" }],
    ["copy", { x: "a file" }],
    ["both", { x: "dir", "x/f": "in the directory", "x (2)": "a file" }],
  ])("--keep %s resolves a conflict between a directory and a file", async (keep, expected) => {
    const bucket = await ConflictedBucket.create();
    await bucket.edit(write("x/f", "in the directory"), write("x", "a file"));
    expect((await bucket.run("conflicts", "resolve", url(bucket, "x"), "--keep", keep)).status).toBe(0);
    expect(await bucket.paths()).toEqual(expected);
    expect((await bucket.run("verify", bucket.address)).status).toBe(0);
  });

  test("a directory that lost the conflict moves with all its contents", async () => {
    const bucket = await ConflictedBucket.create();
    const copy = "d (conflict 12345678)";
    await bucket.edit(write(`${copy}/a/f`, "f"), write("d/g", "g"));
    await bucket.run("conflicts", "resolve", url(bucket, "d"), "--keep", "both");
    const both = { d: "dir", "d/g": "g", "d (2)": "dir", "d (2)/a": "dir", "d (2)/a/f": "f" };
    expect(await bucket.paths()).toEqual(both);
    await bucket.edit(write(`${copy}/a/f`, "f"));
    await bucket.run("conflicts", "resolve", url(bucket, "d"), "--keep", "copy");
    expect(await bucket.paths()).toEqual({ ...both, "d/g": undefined, "d/a": "dir", "d/a/f": "f" });
    expect((await bucket.run("verify", bucket.address)).status).toBe(0);
  });

  test("a copy with a hard link keeps that link, and the kept file's hard links show the chosen version", async () => {
    const { bucket, copy, gave } = await conflicted();
    await bucket.edit(async (writer) => {
      await writer.link([name("linked copy")], copy.split("/").map(name));
      await writer.link([name("linked kept")], ["a", "notes.bin"].map(name));
    });
    await bucket.run("conflicts", "resolve", url(bucket, copy), "--keep", "copy");
    const all = { "a/notes.bin": gave, "linked kept": gave, "linked copy": gave };
    expect(await bucket.paths()).toEqual({ a: "dir", "a/other.bin": "same\n", ...all });
    expect((await bucket.run("verify", bucket.address)).status).toBe(0);
  });

  test.each([
    ["kept", false],
    ["copy", false],
    ["both", false],
    ["kept", true],
    ["copy", true],
    ["both", true],
  ] as const)("--keep %s treats a database and its journal as one unit (all of a bucket: %s)", async (keep, all) => {
    const bucket = await ConflictedBucket.create();
    await bucket.edit(write("app.db", "old"));
    await bucket.edit(write("app.db", "one"), async (writer) => {
      await write("app.db", "two")(writer);
      await write("app.db-wal", "journal of two")(writer);
    });
    const before = await bucket.paths();
    const copy = Object.keys(before).find((path) => /^app \(conflict [0-9a-f]{8}\)\.db$/.test(path)) ?? "";
    const unit = (main: string, name = "app.db") => {
      const wal = before[`${main}-wal`];
      return { [name]: before[main], ...(wal === undefined ? {} : { [`${name}-wal`]: wal }) };
    };
    const given = all ? [bucket.address, "--all-older-than", "0.001s"] : [url(bucket, "app.db")];
    await bucket.json("conflicts", "resolve", ...given, "--keep", keep);
    const kept = { kept: unit("app.db"), copy: unit(copy), both: { ...unit("app.db"), ...unit(copy, "app (2).db") } };
    expect(await bucket.paths()).toEqual(kept[keep]);
  });

  test("--dry-run says what would be done, and changes nothing", async () => {
    const { bucket, copy } = await conflicted();
    const before = await bucket.paths();
    const { status, out } = await bucket.run("conflicts", "resolve", url(bucket, copy), "--keep", "copy", "--dry-run");
    expect({ status, out }).toEqual({ status: 0, out: `${copy} took the name: a/notes.bin\n` });
    expect(await bucket.paths()).toEqual(before);
  });

  test("--dry-run needs no key and creates none, for one conflict or for all old ones", async () => {
    const { bucket, copy } = await conflicted();
    const folder = await temporaryFolder();
    const resolve = (...args: string[]) =>
      bucket.runKeyless(folder, "conflicts", "resolve", ...args, "--keep", "kept", "--dry-run");
    const expected = { status: 0, out: `${copy} removed\n`, err: "" };
    expect(await resolve(url(bucket, copy))).toMatchObject(expected);
    expect(await resolve(bucket.address, "--all-older-than", "0.001s")).toMatchObject(expected);
    // The root that was seen is remembered, and nothing else.
    expect(readdirSync(folder)).toEqual(["states"]);
    const [address = ""] = readdirSync(join(folder, "states"));
    expect(readdirSync(join(folder, "states", address))).toEqual(["known"]);
  });

  test("an edit of the copy by another writer meanwhile survives", async () => {
    const { bucket, copy } = await conflicted();
    await bucket.edit(async (writer) => writer.remove(copy.split("/").map(name)), write(copy, "edited\n"));
    expect(await bucket.paths()).toMatchObject({ [copy]: "edited\n" });
  });

  test("--all-older-than resolves only conflicts that are old enough", async () => {
    const { bucket, kept } = await conflicted();
    const young = await bucket.run("conflicts", "resolve", bucket.address, "--all-older-than", "1h", "--keep", "kept");
    expect(young).toMatchObject({ status: 0, out: "No conflicts to resolve.\n" });
    const [all] = await bucket.json(
      "conflicts",
      "resolve",
      bucket.address,
      "--all-older-than",
      "0.001s",
      "--keep",
      "kept",
    );
    expect(all).toMatchObject({ dryRun: false, resolved: [{ path: "a/notes.bin", done: "removed", to: null }] });
    expect(await bucket.paths()).toEqual({ a: "dir", "a/other.bin": "same\n", "a/notes.bin": kept });
  });

  test("refuses to remove the last version", async () => {
    const { bucket } = await conflicted();
    await bucket.edit((writer) => writer.remove(["a", "notes.bin"].map(name)));
    const before = await bucket.paths();
    const refused = await bucket.run("conflicts", "resolve", url(bucket, "a/notes.bin"), "--keep", "kept");
    expect(refused.status).toBe(4);
    expect(await bucket.paths()).toEqual(before);
  });

  test("--keep copy needs one copy to be named if there are several", async () => {
    const bucket = await ConflictedBucket.create();
    await bucket.edit(write("f.bin", "1"), write("f.bin", "2"), write("f.bin", "3"));
    expect((await bucket.run("conflicts", "resolve", url(bucket, "f.bin"), "--keep", "copy")).status).toBe(4);
    const [conflict] = await bucket.json("conflicts", "list", bucket.address);
    const [copy] = (conflict?.["copies"] ?? []) as { path: string }[];
    const text = (await bucket.paths())[copy?.path ?? ""];
    await bucket.run("conflicts", "resolve", url(bucket, copy?.path ?? ""), "--keep", "copy");
    expect(await bucket.paths()).toMatchObject({ "f.bin": text });
  });

  test("a missing --keep is a usage error", async () => {
    const { bucket } = await conflicted();
    expect((await bucket.run("conflicts", "resolve", url(bucket, "a/notes.bin"))).status).toBe(2);
  });
});
