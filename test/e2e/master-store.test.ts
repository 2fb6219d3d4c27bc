/** A master's store on a real disk: processes that are killed, a disk that is full, and what `syncline verify --data` says of them. */
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, statfsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { systemClock } from "../../src/base/clock.ts";
import { hasCode } from "../../src/base/errors.ts";
import type { Wallet } from "../../src/base/ids.ts";
import { silentLog } from "../../src/base/log.ts";
import { systemRandom } from "../../src/base/random.ts";
import { openMasterStore } from "../../src/master/store/master-store.ts";
import type { OwnerBlocks } from "../../src/master/store/owner-blocks.ts";
import { BLOCK_OVERHEAD_BYTES } from "../../src/master/limits.ts";
import { failure, rawBlock } from "../contract/block-store.ts";
import { compiledProcess } from "../support/compiled.ts";
import { numberedBlock } from "../support/numbered-block.ts";
import { seededRandom } from "../../src/simulate/seeded-random.ts";
import { Workspace } from "../support/syncline.ts";

const ROUNDS = process.env["SYNCLINE_TEST_ALL"] === undefined ? 4 : 60;
const OWNER = `0x${"7".repeat(40)}` as Wallet;
const work = new Workspace("master-store");
afterAll(() => work[Symbol.dispose]());

describe("a process killed while it stores blocks", () => {
  test("leaves a store that passes verify, with every acknowledged block", async () => {
    const start = await compiledProcess("store-writer");
    const random = seededRandom(5);
    const dir = work.at("killed");
    const answered = new Set<number>();
    for (let round = 0; round < ROUNDS; round++) {
      const writer = start(dir, OWNER, String(round * 1_000_000));
      const until = answered.size + 1 + Math.floor(random.fraction() * 300);
      await new Promise<void>((resolve, reject) => {
        writer.on("message", (numbers: number[]) => {
          for (const number of numbers) answered.add(number);
          if (answered.size >= until) resolve();
        });
        writer.once("exit", () => reject(new Error("the writer ended by itself")));
      });
      const gone = once(writer, "close");
      writer.kill("SIGKILL");
      await gone;
      if (round % 3 === 2) rmSync(join(dir, "owners", OWNER, "index.db"));
      expect(work.json("verify", "--data", dir)).toMatchObject({ owners: 1, damaged: 0 });
      const blocks = [...answered].map(numberedBlock);
      await withOwner(dir, async (owner) => {
        const found = await owner.getMany(blocks.map(({ cid }) => cid));
        expect(
          blocks.filter(({ cid, bytes }) => Buffer.compare(found.get(cid) ?? Buffer.alloc(0), bytes) !== 0),
        ).toEqual([]);
      });
    }
  });
});

test("nobody else can read a master's files, even in a folder that others may enter", async () => {
  const dir = work.at("entered");
  mkdirSync(dir, { mode: 0o755 });
  const master = work.start(["serve", "--data", dir, "--listen", "127.0.0.1:0", "--allow", OWNER]);
  await once(master.stdout ?? master, "data");
  const ended = once(master, "close");
  master.kill("SIGTERM");
  await ended;
  const made = readdirSync(dir);
  expect(made).toContain("roots.db");
  expect(made.filter((name) => (statSync(join(dir, name)).mode & 0o077) !== 0)).toEqual([]);
});

describe("verify --data", () => {
  test("refuses a folder that is in use, and one that belongs to no master", async () => {
    const dir = work.at("used");
    const store = await openMasterStore(optionsOf(dir));
    const used = work.run(["verify", "--data", dir, "--json"]);
    expect([used.status, JSON.parse(used.err)]).toMatchObject([4, { code: "state_in_use", hint: expect.any(String) }]);
    await store[Symbol.asyncDispose]();
    expect(work.run(["verify", "--data", dir]).status).toBe(0);
    mkdirSync(work.at("empty"));
    expect(work.run(["verify", "--data", work.at("empty")]).status).toBe(1);
    expect(readdirSync(work.at("empty"))).toEqual([]);
    expect(work.run(["verify", "file:///x", "--data", dir]).status).toBe(2);
  });

  test("exits with 8 and names the damage, and --repair marks damaged blocks as missing", async () => {
    const dir = work.at("damaged");
    const blocks = [rawBlock(5_000), rawBlock(6_000)];
    await withOwner(dir, async (owner) => void (await owner.put(blocks)));
    const folder = join(dir, "owners", OWNER, "pack");
    const pack = join(folder, readdirSync(folder).find((name) => name.endsWith(".open")) ?? "");
    const bytes = readFileSync(pack);
    bytes[5_500] = (bytes[5_500] ?? 0) ^ 1;
    writeFileSync(pack, bytes);
    const found = work.run(["verify", "--data", dir, "--json"]);
    const [damage, summary] = found.out
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as object);
    expect(found.status).toBe(8);
    expect(damage).toMatchObject({ damage: { kind: "block", owner: OWNER, cid: blocks[1]?.cid, offset: 5_000 } });
    expect(summary).toMatchObject({ blocks: 2, damaged: 1, repaired: 0 });
    expect(work.run(["verify", "--data", dir, "--repair"]).out).toContain("damaged blocks are marked as missing");
    await withOwner(dir, async (owner) => expect(await owner.put(blocks)).toEqual({ stored: 1, known: 1 }));
    expect(work.json("verify", "--data", dir)).toMatchObject({ blocks: 2, damaged: 0 });
  });
});

test.skipIf(process.platform !== "linux" || process.getuid?.() !== 0)(
  "a full disk refuses what does not fit; opening and reading work, and writing resumes once there is space",
  async () => {
    const disk = work.mountPoint("small");
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=8m", "small", disk]);
    const [dir, ballast] = [join(disk, "data"), join(disk, "ballast")];
    writeFileSync(ballast, Buffer.alloc(1 << 20));
    const stored = [rawBlock(10)];
    await withOwner(dir, async (owner) => {
      await owner.put(stored);
      // First large blocks, then small ones, until not even the index has room for another row.
      for (const length of [100_000, 4_000, 100]) {
        for (let number = 0, full = false; !full; number++) {
          const block = rawBlock(length + number, number);
          const error = await failure(owner.put([block]));
          full = hasCode(error, "disk_full");
          if (error === undefined) stored.push(block);
          else if (!full) throw error;
        }
      }
      expect(statfsSync(disk).bavail).toBeLessThan(3);
      expect(await notThere(owner, stored)).toEqual([]);
    });
    await withOwner(dir, async (owner) => {
      expect(await notThere(owner, stored)).toEqual([]);
      expect(owner.usedBytes).toBe(stored.reduce((sum, { bytes }) => sum + bytes.length + BLOCK_OVERHEAD_BYTES, 0));
      rmSync(ballast);
      const more = rawBlock(300_000);
      await owner.put([more]);
      expect(await notThere(owner, [...stored, more])).toEqual([]);
    });
    expect(work.json("verify", "--data", dir)).toMatchObject({ blocks: stored.length + 1, damaged: 0 });
  },
);

function optionsOf(dir: string) {
  return { dir, clock: systemClock, random: systemRandom, log: silentLog };
}

async function withOwner(dir: string, use: (owner: OwnerBlocks) => Promise<void>): Promise<void> {
  await using store = await openMasterStore(optionsOf(dir));
  await use(await store.of(OWNER));
}

async function notThere(owner: OwnerBlocks, blocks: readonly ReturnType<typeof rawBlock>[]): Promise<unknown[]> {
  const found = await owner.getMany(blocks.map(({ cid }) => cid));
  return blocks.filter(({ cid, bytes }) => Buffer.compare(found.get(cid) ?? Buffer.alloc(0), bytes) !== 0);
}
