/**
 * A folder on a disk that takes two spellings of a name for one: ext4 that folds case where the kernel has that, else a filesystem in user space
 * that does (Debian's python3-fusepy). SYNCLINE_TEST_ALL, as root.
 */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { text } from "node:stream/consumers";
import { afterAll, expect, test } from "vitest";
import { Workspace } from "../support/syncline.ts";

const space = new Workspace("sync-case");
afterAll(() => space[Symbol.dispose]());
const CAFE = "caf\u00e9.bin";
const folded = space.at("disk", "folded");
const why = process.env["SYNCLINE_TEST_ALL"] === undefined ? "SYNCLINE_TEST_ALL is not set" : await whyNotFolded();

// What follows a file's tests is not run where all of them are skipped.
if (why !== undefined) space[Symbol.dispose]();

test.skipIf(why !== undefined)(
  `names that differ only in case or Unicode form are kept apart and reported, and nothing is lost${why === undefined ? "" : ` (skipped: ${why})`}`,
  { timeout: 400_000 },
  () => {
    const [plain, url] = [space.at("plain"), space.url("bucket")];
    for (const name of ["Both", "both"]) mkdirSync(`${plain}/${name}`, { recursive: true });
    const versions = {
      "Name.bin": "1",
      "name.bin": "2",
      "Both/x.bin": "3",
      "both/y.bin": "4",
      [CAFE.normalize("NFC")]: "5",
      [CAFE.normalize("NFD")]: "6",
    };
    for (const [name, text] of Object.entries(versions)) writeFileSync(`${plain}/${name}`, text);
    space.do("init", url);
    space.do("sync", url, plain, "--once");
    const { left } = space.json("sync", url, folded, "--once") as { left: { path: string; why: string }[] };
    expect(
      left
        .filter((each) => each.why === "name collides")
        .map(({ path }) => path.toLowerCase().normalize("NFC"))
        .sort(),
    ).toEqual(["both", CAFE, "name.bin"]);
    const names = readdirSync(folded);
    expect(names.filter((name) => name.normalize("NFC") === CAFE)).toHaveLength(1);
    const shown = names.find((name) => name.toLowerCase() === "name.bin") ?? "";
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
async function whyNotFolded(): Promise<string | undefined> {
  const disk = space.mountPoint("disk");
  const whyNot = whyNoExt4(disk);
  if (whyNot === undefined) return undefined;
  const kept = space.at("kept");
  mkdirSync(kept);
  const script = resolve(import.meta.dirname, "../support/folding-fs.py");
  const server = spawn("/usr/bin/python3", [script, kept, disk], { stdio: ["ignore", "pipe", "pipe"] });
  const failed = text(server.stderr);
  const [said] = (await Promise.race([once(server.stdout, "data"), once(server, "close")])) as [unknown];
  if (!String(said).startsWith("mounted")) return `${whyNot}; ${(await failed).trim().split("\n").at(-1)}`;
  mkdirSync(folded);
  return undefined;
}

function whyNoExt4(disk: string): string | undefined {
  const image = space.at("image");
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
