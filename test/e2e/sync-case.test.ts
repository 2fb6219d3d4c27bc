/**
 * A folder on a disk that takes two spellings of a name for one: a real one, ext4 that folds case. SYNCLINE_TEST_ALL, as root, where the kernel
 * can do it.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { afterAll, expect, test } from "vitest";
import { Workspace } from "../support/syncline.ts";

const space = new Workspace("sync-case");
afterAll(() => space[Symbol.dispose]());
const folded = space.at("disk", "folded");
const why = process.env["SYNCLINE_TEST_ALL"] === undefined ? "SYNCLINE_TEST_ALL is not set" : whyNotFolded();

// What follows a file's tests is not run where all of them are skipped.
if (why !== undefined) space[Symbol.dispose]();

test.skipIf(why !== undefined)(
  `names that differ in case only are kept apart and told of, and nothing is lost${why === undefined ? "" : ` (skipped: ${why})`}`,
  { timeout: 400_000 },
  () => {
    const [plain, url] = [space.at("plain"), space.url("bucket")];
    for (const name of ["Both", "both"]) mkdirSync(`${plain}/${name}`, { recursive: true });
    const versions = { "Name.bin": "1", "name.bin": "2", "Both/x.bin": "3", "both/y.bin": "4" };
    for (const [name, text] of Object.entries(versions)) writeFileSync(`${plain}/${name}`, text);
    space.do("init", url);
    space.do("sync", url, plain, "--once");
    const { left } = space.json("sync", url, folded, "--once") as { left: { path: string; why: string }[] };
    expect(
      left
        .filter((each) => each.why === "name collides")
        .map(({ path }) => path.toLowerCase())
        .sort(),
    ).toEqual(["both", "name.bin"]);
    const shown = readdirSync(folded).find((name) => name.endsWith(".bin")) ?? "";
    expect(readFileSync(`${folded}/${shown}`, "utf8")).toBe(versions[shown as "Name.bin"]);

    // What is saved here goes to the one that is shown.
    writeFileSync(`${folded}/${shown}`, "saved");
    space.do("sync", url, folded, "--once");
    space.do("sync", url, plain, "--once");
    const now: Record<string, string> = { ...versions, [shown]: "saved" };
    for (const [name, text] of Object.entries(now)) expect(readFileSync(`${plain}/${name}`, "utf8")).toBe(text);

    // Where the other one is renamed out of its way, both are there.
    const other = shown === "Name.bin" ? "name.bin" : "Name.bin";
    renameSync(`${plain}/${other}`, `${plain}/other.bin`);
    space.do("sync", url, plain, "--once");
    space.do("sync", url, folded, "--once");
    expect([shown, "other.bin"].map((name) => readFileSync(`${folded}/${name}`, "utf8"))).toEqual([
      "saved",
      now[other],
    ]);
  },
);

/** Makes and mounts it. Answers why that does not go here. */
function whyNotFolded(): string | undefined {
  const image = space.at("image");
  const disk = space.mountPoint("disk");
  const run = (program: string, ...args: string[]) => {
    const { status, stderr, error } = spawnSync(program, args, { encoding: "utf8" });
    return status === 0 ? undefined : `${program}: ${error?.message ?? stderr.trim().split("\n")[0]}`;
  };
  return (
    run("truncate", "-s", "16M", image) ??
    run("mkfs.ext4", "-q", "-O", "casefold", "-E", "encoding=utf8", image) ??
    run("mount", "-o", "loop", image, disk) ??
    run("mkdir", folded) ??
    run("chattr", "+F", folded)
  );
}
