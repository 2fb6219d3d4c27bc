/** What a master's store keeps when its process dies, its power goes, its disk is full or fails, or its index is lost. */
import { copyFileSync, existsSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { systemClock } from "../../../../src/base/clock.ts";
import { hasCode } from "../../../../src/base/errors.ts";
import type { Cid, Wallet } from "../../../../src/base/ids.ts";
import { silentLog } from "../../../../src/base/log.ts";
import type { Block } from "../../../../src/blocks/block-store.ts";
import { cidOf } from "../../../../src/format/blocks/cid.ts";
import { auditData } from "../../../../src/master/store/audit.ts";
import { openMasterStore } from "../../../../src/master/store/master-store.ts";
import type { BlockStores, OwnerBlocks } from "../../../../src/master/store/owner-blocks.ts";
import { BLOCK_OVERHEAD_BYTES } from "../../../../src/master/limits.ts";
import { noise } from "../../../support/bytes.ts";
import { seededRandom } from "../../../../src/simulate/seeded-random.ts";
import { type PackDiskCall, SimulatedPackDisk } from "../../../support/simulated-pack-disk.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";
import { systemError } from "../../../support/watched-disk.ts";

const HEAVY = process.env["SYNCLINE_TEST_ALL"] !== undefined;
const RUNS = HEAVY ? 300 : 40;
const OWNER = `0x${"1".repeat(40)}` as Wallet;
const PACK_BYTES = 20_000;

type IndexFate = "kept" | "older" | "deleted" | "garbage";

type Step =
  | { readonly op: "put"; readonly calls: readonly (readonly number[])[] }
  | { readonly op: "restart" | "lose index" | "full" }
  | { readonly op: "fail"; readonly calls: readonly PackDiskCall[] }
  | { readonly op: "kill" | "power"; readonly after: number; readonly index: IndexFate };

/** A block is known by a number: its contents and its size follow. */
const number = fc.nat({ max: 60 });
const calls = fc.array(fc.array(number, { minLength: 1, maxLength: 8 }), { minLength: 1, maxLength: 3 });
const put = fc.record({ op: fc.constant("put" as const), calls });
const crash = fc.record({
  op: fc.constantFrom("kill" as const, "power" as const),
  after: fc.nat({ max: 25 }),
  index: fc.constantFrom<IndexFate>("kept", "kept", "older", "deleted", "garbage"),
});
const trouble = fc.record({
  op: fc.constant("fail" as const),
  calls: fc.subarray<PackDiskCall>(["sync", "sync folder", "write", "truncate", "rename", "create", "remove"], {
    minLength: 1,
    maxLength: 3,
  }),
});
const other = fc.record({ op: fc.constantFrom("restart" as const, "lose index" as const, "full" as const) });
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    { weight: 5, arbitrary: put },
    { weight: 3, arbitrary: crash },
    { weight: 2, arbitrary: trouble },
    { weight: 1, arbitrary: other },
  ),
  { minLength: 1, maxLength: HEAVY ? 40 : 15, size: "max" },
);

describe("an owner's packs", () => {
  test(
    "hold every acknowledged block, after any crash, failure or loss of the index",
    { timeout: 600_000 },
    async () => {
      await fc.assert(
        fc.asyncProperty(steps, fc.nat(), async (all, seed) => {
          const world = new World(await temporaryFolder(), seed);
          for (const step of all) {
            await world.do(step);
            expect(await world.complaints()).toEqual([]);
          }
          await world.restart();
          expect(await world.complaints()).toEqual([]);
          await world.end();
        }),
        { numRuns: RUNS },
      );
    },
  );
});

class World {
  readonly #dir: string;
  readonly #random: ReturnType<typeof seededRandom>;
  readonly #answered = new Set<number>();
  readonly #sent = new Set<number>();
  /** What an audit found before anything was recovered. */
  readonly #crashComplaints: string[] = [];
  #disk = new SimulatedPackDisk();
  #open: { readonly store: BlockStores; readonly owner: OwnerBlocks } | undefined;

  constructor(dir: string, seed: number) {
    this.#dir = dir;
    this.#random = seededRandom(seed);
  }

  async do(step: Step): Promise<void> {
    switch (step.op) {
      case "put":
        return this.#put(step.calls);
      case "restart":
        return this.restart();
      case "lose index":
        await this.end();
        return this.#lose("deleted");
      case "full":
        return this.#withTrouble(() => {
          this.#disk.capacity = this.#used() + Math.floor(this.#random.fraction() * 8_000);
        });
      case "fail":
        return this.#withTrouble(() => {
          this.#disk.before = (call) => {
            if (step.calls.includes(call) && this.#random.fraction() < 0.7) throw systemError("EIO");
          };
        });
      case "kill":
      case "power":
        return this.#crash(step);
    }
  }

  async restart(): Promise<void> {
    await this.end();
    await this.#ready();
  }

  async end(): Promise<void> {
    await this.#open?.store[Symbol.asyncDispose]();
    this.#open = undefined;
  }

  /** What is lost though it was answered for, or said to be there and is not, or counted and is not there. */
  async complaints(): Promise<string[]> {
    const { owner } = await this.#ready();
    const sent = [...this.#sent].map(blockOf);
    const has = await owner.has(sent.map(({ cid }) => cid));
    const held = sent.filter(({ cid }) => has.has(cid));
    const bytes = await owner.getMany(held.map(({ cid }) => cid));
    const complaints = [...this.#answered]
      .filter((each) => !has.has(blockOf(each).cid))
      .map((each) => `${each} is lost`);
    for (const block of held) {
      if (Buffer.compare(bytes.get(block.cid) ?? Buffer.alloc(0), block.bytes) !== 0) complaints.push("other bytes");
    }
    for (const { cid } of sent) {
      if (has.has(cid)) continue;
      const code = await codeOf(owner.get(cid));
      if (code !== "block_not_found") complaints.push(`${String(code)} of what is not there`);
    }
    complaints.push(...this.#crashComplaints);
    const used = sumOf(held);
    if (owner.usedBytes !== used) complaints.push(`${owner.usedBytes} bytes are counted, ${used} are there`);
    return complaints;
  }

  async #put(each: readonly (readonly number[])[]): Promise<void> {
    const { owner } = await this.#ready();
    await Promise.all(
      each.map(async (numbers) => {
        for (const one of numbers) this.#sent.add(one);
        try {
          await owner.put(numbers.map(blockOf));
        } catch (error) {
          if (hasCode(error, "disk_full") || hasCode(error, "store_failed")) return;
          throw error;
        }
        for (const one of numbers) this.#answered.add(one);
      }),
    );
  }

  /** Puts into a disk that fails now and then; afterwards it goes on as if nothing had been. */
  async #withTrouble(begin: () => void): Promise<void> {
    await this.#ready();
    begin();
    await this.#put([[1, 2, 3].map((step) => Math.floor(this.#random.fraction() * 20) * step), [70, 71]]);
    this.#disk.before = () => {};
    this.#disk.capacity = Infinity;
  }

  async #crash({ op, after, index }: Extract<Step, { readonly op: "kill" | "power" }>): Promise<void> {
    await this.#ready();
    this.#saveIndex();
    this.#disk.stopAfter(after);
    await this.#put([
      [this.#anyNumber(), this.#anyNumber(), this.#anyNumber()],
      [this.#anyNumber(), this.#anyNumber()],
    ]);
    await this.#put([[this.#anyNumber()]]);
    // What a stopped process still does reaches no disk.
    await this.end();
    this.#disk = op === "kill" ? this.#disk.afterKill() : this.#disk.afterPowerLoss(this.#random);
    this.#lose(index);
    const { damage } = await auditData({ dir: this.#dir, disk: this.#disk, onBytes: () => {} });
    const found = damage.filter(({ kind }) => kind !== "index" || index !== "garbage");
    this.#crashComplaints.push(...found.map(({ kind, what }) => `audit after ${op}: ${kind}: ${what}`));
    // It may die again while it recovers.
    if (this.#random.fraction() < 0.3) {
      this.#disk.stopAfter(Math.floor(this.#random.fraction() * 12));
      await this.#ready().catch(() => {});
      await this.end();
      this.#disk = this.#disk.afterKill();
    }
  }

  async #ready(): Promise<{ readonly store: BlockStores; readonly owner: OwnerBlocks }> {
    if (this.#open !== undefined) return this.#open;
    const options = { dir: this.#dir, clock: systemClock, random: this.#random, log: silentLog, disk: this.#disk };
    const store = await openMasterStore({ ...options, packBytes: PACK_BYTES });
    try {
      return (this.#open = { store, owner: await store.of(OWNER) });
    } catch (error) {
      await store[Symbol.asyncDispose]();
      throw error;
    }
  }

  get #index(): string {
    return join(this.#dir, "owners", OWNER, "index.db");
  }

  /** The index as it is now, for power loss takes the last changes of it. */
  #saveIndex(): void {
    for (const ending of ["", "-wal"]) {
      rmSync(`${this.#index}${ending}.saved`, { force: true });
      if (existsSync(this.#index + ending)) copyFileSync(this.#index + ending, `${this.#index}${ending}.saved`);
    }
  }

  #lose(fate: IndexFate): void {
    if (fate === "kept" || !existsSync(this.#index)) return;
    for (const ending of ["", "-wal"]) rmSync(this.#index + ending, { force: true });
    if (fate === "garbage") writeFileSync(this.#index, noise(20_000, 9));
    if (fate !== "older") return;
    for (const ending of ["", "-wal"]) {
      if (existsSync(`${this.#index}${ending}.saved`))
        copyFileSync(`${this.#index}${ending}.saved`, this.#index + ending);
    }
  }

  #anyNumber(): number {
    return Math.floor(this.#random.fraction() * 61);
  }

  #used(): number {
    return [...this.#disk.files.values()].reduce((sum, { size }) => sum + size, 0);
  }
}

const made = new Map<number, Block>();

function blockOf(each: number): Block {
  const block = made.get(each) ?? makeBlock(each);
  made.set(each, block);
  return block;
}

function makeBlock(each: number): Block {
  const bytes = noise(each % 7 === 0 ? each * 200 : each * 13, each + 1);
  return { cid: cidOf(each % 2 === 0 ? "raw" : "dag-cbor", bytes), bytes };
}

function sumOf(blocks: readonly Block[]): number {
  const lengths = new Map<Cid, number>(blocks.map(({ cid, bytes }) => [cid, bytes.length]));
  return [...lengths.values()].reduce((sum, length) => sum + length + BLOCK_OVERHEAD_BYTES, 0);
}

async function codeOf(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => undefined,
    (error: unknown) => (error instanceof Error && "code" in error ? error.code : error),
  );
}
