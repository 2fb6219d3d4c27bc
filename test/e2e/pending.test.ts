/**
 * What `status` says of what waits: as much as there is, while the bucket is out of reach and while it is slow. And what it
 * says of bytes that can wait no longer, as they are lost.
 */
import { randomBytes } from "node:crypto";
import { existsSync, globSync, mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { whyNoMount } from "../support/fuse-process.ts";
import { killAgent } from "../support/supervisor.ts";
import { Workspace } from "../support/syncline.ts";

const space = new Workspace("pending");
afterAll(() => space[Symbol.dispose]());
const soon = { timeout: 90_000, interval: 50 };
const MB = 1_000_000;

interface Pending {
  readonly files: number;
  readonly bytes: number;
  readonly oldestMs: number;
  readonly etaMs: number | null;
}

const pendingOf = (place: string) => space.status(place)["pending"] as Pending;

test(
  "a synced folder counts pending files and bytes even while its bucket is out of reach",
  { timeout: 400_000 },
  async () => {
    const [folder, url] = [space.at("folder"), space.url("bucket")];
    mkdirSync(folder);
    for (let each = 0; each < 3; each++) writeFileSync(`${folder}/old ${each}`, `${each}`);
    space.do("init", url);
    space.json("sync", url, folder, "--once");
    space.start(["sync", url, folder]);
    await expect.poll(() => space.run(["status", folder, "--json"]).status, soon).toBe(0);
    space.json("flush", folder);
    expect(pendingOf(folder)).toEqual({ files: 0, bytes: 0, oldestMs: 0, etaMs: null });

    renameSync(space.at("bucket"), space.at("away"));
    writeFileSync(`${folder}/large.bin`, randomBytes(5 * MB));
    writeFileSync(`${folder}/small.bin`, "small");
    rmSync(`${folder}/old 0`);
    const waits = { files: 3, bytes: 5 * MB + 5, etaMs: null };
    await expect.poll(() => pendingOf(folder), soon).toMatchObject(waits);
    await expect.poll(() => pendingOf(folder).oldestMs, soon).toBeGreaterThan(0);
    expect(space.run(["status", folder]).out).toMatch(/pending +(at least )?3 files, 4\.77 MiB, oldest/);

    renameSync(space.at("away"), space.at("bucket"));
    await expect.poll(() => pendingOf(folder), soon).toEqual({ files: 0, bytes: 0, oldestMs: 0, etaMs: null });
    expect(space.run(["status", folder]).out).toContain("everything is published");
    expect(space.json("unmount", folder)).toMatchObject({ drained: true });
  },
);

test(
  "a synced folder that uploads slowly reports how much is pending, and how long that takes",
  { timeout: 400_000 },
  async () => {
    const [folder, url] = [space.at("slow"), space.url("slow-bucket")];
    mkdirSync(folder);
    space.do("init", url);
    space.start(["sync", url, folder, "--limit", "2MB"]);
    await expect.poll(() => space.run(["status", folder, "--json"]).status, soon).toBe(0);
    for (let each = 0; each < 4; each++) writeFileSync(space.at(`part ${each}`), randomBytes(5 * MB));
    mkdirSync(`${folder}/d`);
    for (let each = 0; each < 4; each++) renameSync(space.at(`part ${each}`), `${folder}/d/${each}.bin`);
    await expect.poll(() => pendingOf(folder).etaMs ?? undefined, soon).toBeGreaterThan(0);
    // The rate is the limit's: whatever the machine does besides, it is no hour.
    expect(pendingOf(folder).etaMs ?? 0).toBeLessThan(3_600_000);
    expect(pendingOf(folder).bytes % (5 * MB)).toBe(0);
    await expect.poll(() => pendingOf(folder).files, soon).toBe(0);
    expect(space.json("unmount", folder)).toMatchObject({ drained: true });
  },
);

test.skipIf(!existsSync("/dev/fuse"))(
  "a mount counts the same while its bucket is out of reach",
  { timeout: 400_000 },
  async () => {
    const [mount, url] = [space.mountPoint("mount"), space.url("mounted")];
    space.do("init", url);
    space.mount(url, mount);
    renameSync(space.at("mounted"), space.at("mounted-away"));
    writeFileSync(`${mount}/large.bin`, randomBytes(5 * MB));
    writeFileSync(`${mount}/small.bin`, "small");
    await expect.poll(() => pendingOf(mount), soon).toMatchObject({ files: 2, bytes: 5 * MB + 5, etaMs: null });
    renameSync(space.at("mounted-away"), space.at("mounted"));
    await expect.poll(() => pendingOf(mount), soon).toEqual({ files: 0, bytes: 0, oldestMs: 0, etaMs: null });
    space.do("unmount", mount);
  },
);

test.skipIf(whyNoMount() !== undefined)(
  "a mount names the files whose bytes its state folder has lost",
  { timeout: 200_000 },
  async () => {
    const [url, mount] = [space.url("lossy-bucket"), space.mountPoint("lossy")];
    space.do("init", url);
    const state = space.at("lossy-state");
    const pid = space.mount(url, mount, "--state", state);
    space.do("pause", mount, "--state", state);
    writeFileSync(`${mount}/large`, randomBytes(MB));
    const shown = () => space.json("status", mount, "--state", state);
    expect(shown()).toMatchObject({ agents: [{ lost: null }] });
    killAgent(pid);
    await expect.poll(() => existsSync(`/proc/${pid}`), soon).toBe(false);
    for (const path of globSync(join(state, "*", "data", "*"))) rmSync(path);
    space.mount(url, mount, "--state", state);
    const lossy = { agents: [{ lost: { files: 1, names: ["large"] } }] };
    expect(shown()).toMatchObject(lossy);
    // It is in the bucket with its zeros: the person must know all the same.
    space.do("resume", mount, "--state", state);
    expect(space.json("flush", mount, "--state", state)).toMatchObject({ published: true });
    expect(shown()).toMatchObject(lossy);
    space.do("unmount", mount, "--state", state);
  },
);
