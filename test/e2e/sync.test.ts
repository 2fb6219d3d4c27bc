/** `syncline sync` as people run it: once, as a dry run, and under watch. */
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { afterAll, expect, test } from "vitest";
import { Workspace } from "../support/syncline.ts";

const space = new Workspace("sync");
afterAll(() => space[Symbol.dispose]());
const url = space.url("bucket");
const [one, other] = [space.at("one"), space.at("other")];
/** Longer than the scan that finds what was never noticed is away. */
const soon = { timeout: 90_000, interval: 50 };

test("a folder is uploaded and downloaded elsewhere, as planned by the dry run", () => {
  mkdirSync(one);
  space.do("init", url);
  for (let each = 0; each < 120; each++) writeFileSync(`${one}/${each}.bin`, `${each}`);
  const plan = space.lines("sync", url, one, "--dry-run");
  expect(plan.at(-1)).toMatchObject({ plan: 120, conflicts: [] });
  expect(readdirSync(one)).not.toContain(".syncline");
  expect(space.json("sync", url, one, "--once")).toMatchObject({ sent: { added: 120 }, left: [] });
  // A folder that is not there is made.
  const action = { where: "folder", what: "add", path: "7.bin" };
  // `deed` is the field's older name.
  expect(space.lines("sync", url, other, "--dry-run")).toContainEqual({ action, deed: action });
  expect(existsSync(other)).toBe(false);
  expect(space.json("sync", url, other, "--once")).toMatchObject({ received: { files: 120 } });
  expect(readFileSync(`${other}/7.bin`, "utf8")).toBe("7");
});

test("a synced folder, or a symlink to it, works as an address while no agent runs", () => {
  symlinkSync(one, space.at("link"));
  for (const place of [one, space.at("link")]) {
    const { status, out } = space.run(["status", place, "--json"]);
    expect([status, JSON.parse(out)]).toEqual([
      1,
      { agents: [], synced: [expect.objectContaining({ mount: one, bucket: url })] },
    ]);
    expect(space.lines("log", place, "-n", "1")).toMatchObject([{ totals: { files: 120 } }]);
    expect(space.do("conflicts", "list", place)).toBe("No conflicts.\n");
    expect(space.lines("log", `${place}/7.bin`)).toMatchObject([{ change: "created", size: 1 }]);
  }
  expect(space.json("restore", `${one}/7.bin`, "--at", "now")).toMatchObject({ restored: 0 });
});

test("a watched folder is synced on after the reader of its output has gone", async () => {
  const [folder, place] = [space.at("unread"), space.url("unread-bucket")];
  mkdirSync(folder);
  space.do("init", place);
  const child = space.start(["sync", place, folder]);
  await expect.poll(() => space.run(["status", folder, "--json"]).status, soon).toBe(0);
  child.stdout?.destroy();
  for (const name of ["one", "two", "three"]) {
    writeFileSync(`${folder}/${name}`, name);
    expect(space.json("flush", folder)).toMatchObject({ published: true });
  }
  const { doors } = space.status(folder);
  expect(doors).toMatchObject([{ folder }]);
  expect(space.json("unmount", folder)).toMatchObject({ drained: true });
});

test("contents stay in the folder without a second copy in a cache, and verify --repair restores lost blocks from the folder", async () => {
  const [folder, lost] = [space.at("mended"), space.url("mended-bucket")];
  mkdirSync(`${folder}/d`, { recursive: true });
  // More than a commit object takes: it goes into a pack.
  writeFileSync(`${folder}/d/large`, randomBytes(20_000_000));
  for (let each = 0; each < 30; each++) writeFileSync(`${folder}/${each}.bin`, randomBytes(10_000));
  space.do("init", lost);
  expect(space.json("sync", lost, folder, "--once")).toMatchObject({ sent: { added: 32 } });
  const states = readdirSync(space.at("state", "syncline"), { recursive: true, encoding: "utf8" });
  const cached = states.filter((path) => path.endsWith(".blocks")).map((path) => space.at("state", "syncline", path));
  expect(cached.reduce((sum, path) => sum + statSync(path).size, 0)).toBeLessThan(200_000);
  for (const name of readdirSync(space.at("mended-bucket", "pack"))) rmSync(space.at("mended-bucket", "pack", name));
  expect(space.run(["verify", lost, "--json"]).status).toBe(8);
  const mended = space.run(["verify", lost, "--repair", "--json"]);
  expect([mended.status, JSON.parse(mended.out.trimEnd().split("\n").at(-1) ?? "")]).toEqual([
    0,
    expect.objectContaining({ damaged: 0 }),
  ]);
  expect(mended.err).not.toContain("An agent serves");
  space.do("get", `${lost}/d/large`, space.at("again"));
  expect(Buffer.compare(readFileSync(space.at("again")), readFileSync(`${folder}/d/large`))).toBe(0);
  // Who runs with it goes on with what it has read.
  space.start(["sync", lost, folder]);
  await expect.poll(() => space.run(["status", folder, "--json"]).status, soon).toBe(0);
  for (const name of readdirSync(space.at("mended-bucket", "pack"))) rmSync(space.at("mended-bucket", "pack", name));
  expect(space.run(["verify", lost, "--repair"]).err).toContain(`An agent serves ${folder}`);
  expect(space.json("unmount", folder)).toMatchObject({ drained: true });
});

test("a mass deletion needs approval, and a folder without its marker is refused", () => {
  for (let each = 0; each < 120; each++) rmSync(`${other}/${each}.bin`);
  const refused = space.run(["sync", url, other, "--once", "--json"]);
  expect(refused.status).toBe(7);
  const { guard } = JSON.parse(refused.out) as { guard: { digest: string; files: number } };
  expect(guard.files).toBe(120);
  const dryRunResult = space.run(["sync", url, other, "--dry-run"]);
  expect([dryRunResult.status, dryRunResult.out]).toEqual([
    7,
    expect.stringContaining("120 deletions awaiting approval"),
  ]);
  expect(dryRunResult.err).toContain(`sync ${url}`);
  expect(dryRunResult.err).toContain(`--once --allow-deletes ${guard.digest}`);
  expect(space.lines("ls", url)).toHaveLength(120);
  expect(space.json("sync", url, other, "--once", "--allow-deletes", guard.digest)).toMatchObject({
    sent: { deleted: 120 },
  });
  expect(space.lines("ls", url)).toHaveLength(0);
  rmSync(`${other}/.syncline`, { recursive: true });
  const unmarked = space.run(["sync", url, other, "--once", "--json"]);
  expect([unmarked.status, unmarked.err]).toEqual([4, expect.stringContaining("precondition_failed")]);
  rmSync(other, { recursive: true });
  const gone = space.run(["sync", url, other, "--once", "--json"]);
  expect([gone.status, gone.err]).toEqual([1, expect.stringContaining("is missing: nothing is synced")]);
});

test(
  "under watch, a folder that is missing is said to be, and syncs on once it is back",
  { timeout: 400_000 },
  async () => {
    const [folder, bucket] = [space.at("unplugged"), space.url("unplugged-bucket")];
    mkdirSync(folder);
    writeFileSync(`${folder}/f`, "text");
    space.do("init", bucket);
    space.start(["sync", bucket, folder]);
    await expect.poll(() => space.run(["flush", folder]).status, soon).toBe(0);
    renameSync(folder, `${folder}-away`);
    const missing = space.run(["flush", folder]);
    expect(missing.status).not.toBe(0);
    expect(missing.out).toContain(`${folder} is missing: nothing is synced, and nothing counts as deleted.`);
    expect(missing.out).not.toContain("unreachable");
    renameSync(`${folder}-away`, folder);
    expect(space.run(["flush", folder]).status).toBe(0);
    expect(space.lines("ls", bucket)).toHaveLength(1);
    space.do("unmount", folder);
  },
);

test(
  "under watch, a mass deletion waits for `flush --allow-deletes` with its exact digest",
  { timeout: 400_000 },
  async () => {
    const [folder, guarded] = [space.at("a guarded folder"), space.url("guarded-bucket")];
    mkdirSync(`${folder}/d`, { recursive: true });
    space.do("init", guarded);
    for (let each = 0; each < 110; each++) writeFileSync(`${folder}/d/${each}.bin`, `${each}`);
    for (let each = 0; each < 10; each++) writeFileSync(`${folder}/${each}.bin`, `${each}`);
    expect(space.json("sync", guarded, folder, "--once")).toMatchObject({ sent: { added: 121 } });
    const watching = space.start(["sync", guarded, folder]);
    let told = "";
    watching.stderr?.on("data", (text) => void (told += String(text)));
    await expect.poll(() => space.run(["status", folder, "--json"]).status, soon).toBe(0);
    const early = space.run(["flush", folder, "--allow-deletes", "00", "--json"]);
    expect([early.status, early.err]).toEqual([4, expect.stringContaining("No deletions await")]);
    // At once, so that no scan sees a part of it.
    renameSync(`${folder}/d`, space.at("away"));
    const held = space.run(["flush", folder, "--json"]);
    expect([held.status, JSON.parse(held.out)]).toEqual([7, expect.objectContaining({ published: false })]);
    const { digest, files } = space.status(folder)["guard"] as { digest: string; files: number };
    expect([files, space.lines("ls", `${guarded}/d`).length]).toEqual([110, 110]);
    await expect.poll(() => told, soon).toContain(`syncline flush '${folder}' --allow-deletes ${digest}\n`);
    // One more is another digest.
    rmSync(`${folder}/0.bin`);
    expect(space.run(["flush", folder, "--allow-deletes", digest, "--json"]).status).toBe(7);
    const newer = space.status(folder)["guard"] as { digest: string };
    expect(space.json("flush", folder, "--allow-deletes", newer.digest)).toMatchObject({ published: true });
    expect([space.lines("ls", guarded).length, space.status(folder)["guard"]]).toEqual([9, null]);
    expect(space.json("unmount", folder)).toMatchObject({ drained: true });
  },
);

test(
  "under watch, a change reaches the other folder, status lists both, and unmount ends with everything published",
  { timeout: 400_000 },
  async () => {
    const [a, b] = [space.at("a"), space.at("b")];
    for (const folder of [a, b]) mkdirSync(folder);
    const watched = space.url("watched");
    space.do("init", watched);
    for (const folder of [a, b]) space.start(["sync", watched, folder]);
    await expect.poll(() => space.run(["status", "--json"]).out, soon).toMatch(/"folder".*"folder"/);
    writeFileSync(`${a}/note.txt`, "first");
    await expect.poll(() => existsSync(`${b}/note.txt`), soon).toBe(true);
    rmSync(`${b}/note.txt`);
    await expect.poll(() => existsSync(`${a}/note.txt`), soon).toBe(false);
    writeFileSync(`${b}/last.txt`, "last");
    expect(space.json("flush", b)).toMatchObject({ published: true });
    expect(space.do("cat", `${watched}/last.txt`)).toBe("last");
    for (const folder of [a, b]) expect(space.json("unmount", folder)).toMatchObject({ drained: true });
  },
);

test.runIf(process.platform === "linux")("a path longer than the system takes is left out, and the rest syncs", () => {
  const [deep, url, here] = [space.at("deep"), space.url("deep-bucket"), process.cwd()];
  space.do("init", url);
  mkdirSync(deep);
  writeFileSync(`${deep}/f`, "text");
  try {
    process.chdir(deep);
    for (let level = 0; level < 45; level++) {
      mkdirSync("d".repeat(100));
      process.chdir("d".repeat(100));
    }
  } finally {
    process.chdir(here);
  }
  const { status, out } = space.run(["sync", url, deep, "--once", "--json"]);
  execFileSync("rm", ["-r", deep]);
  expect(status).toBe(3);
  expect(JSON.parse(out)).toMatchObject({ left: [{ why: "cannot be read" }] });
  expect(space.do("cat", `${url}/f`)).toBe("text");
});
