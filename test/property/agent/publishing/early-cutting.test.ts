/**
 * Files that are cut while programs write them, whatever the programs do: what is published is what cutting each whole file gives,
 * and a file that was written in order is not cut again.
 */
import { isDeepStrictEqual } from "node:util";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import type { Ino } from "../../../../src/base/ids.ts";
import type { PublishedEpoch } from "../../../../src/fstree/change-set.ts";
import { createContentConfig } from "../../../../src/content/config.ts";
import { readContent } from "../../../../src/content/read.ts";
import { writeBytes } from "../../../../src/content/write.ts";
import { DEFAULT_CHUNKER } from "../../../../src/format/files/chunker.ts";
import { FALLOC_KEEP_SIZE, FALLOC_PUNCH_HOLE, FsError } from "../../../../src/vfs/filesystem.ts";
import { BlockMap } from "../../../support/block-map.ts";
import { noise } from "../../../support/bytes.ts";
import { VfsHarness } from "../../../support/vfs-harness.ts";

const RUNS = process.env["SYNCLINE_TEST_ALL"] === undefined ? 60 : 1_000;
const KiB = 1024;

/** Only files of more than 64 KiB have a data file of their own; chunks are small, and larger from 200 KiB on. */
const config = createContentConfig({
  chunker: {
    ...DEFAULT_CHUNKER,
    averages: [
      { above: 0, average: 1_024 },
      { above: 200 * KiB, average: 2_048 },
    ],
    minHole: 2_000,
    list: { min: 2, mean: 6, max: 20 },
  },
});
const EARLY = { earlyBytes: 70 * KiB };
const NOISE = noise(2_000 * KiB);
const NAMES = ["one", "two"] as const;

type Step =
  | {
      readonly what: "stream" | "fresh";
      readonly name: Name;
      readonly pieces: number;
      readonly length: number;
      readonly from: number;
    }
  | { readonly what: "write"; readonly name: Name; readonly at: number; readonly length: number; readonly from: number }
  | { readonly what: "rewrite" | "insert" | "full"; readonly name: Name; readonly at: number; readonly length: number }
  | { readonly what: "truncate" | "punch"; readonly name: Name; readonly at: number; readonly length: number }
  | { readonly what: "rename" | "unlink"; readonly name: Name }
  | { readonly what: "publish" | "seal" | "finish" | "idle" | "restart" | "checkpoint" };
type Name = (typeof NAMES)[number];

const name = fc.constantFrom(...NAMES, "one" as const);
const at = fc.nat(1_100).map((part) => part / 1_000);
const length = fc.oneof(fc.integer({ min: 1, max: 3_000 }), fc.integer({ min: 1, max: 90 * KiB }));
const piece = fc.integer({ min: 8 * KiB, max: 60 * KiB });
const from = fc.nat(1_000 * KiB);
const pieces = fc.integer({ min: 2, max: 8 });
const stream = fc.record({ what: fc.constantFrom("stream", "fresh", "fresh"), name, pieces, length: piece, from });
const begin: fc.Arbitrary<Step> = fc.oneof(
  stream,
  fc.record({ what: fc.constantFrom("rewrite", "insert"), name, at, length: piece }),
);
const trouble: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 2,
    arbitrary: fc.record({ what: fc.constantFrom("truncate", "truncate", "punch", "full"), name, at, length }),
  },
  { weight: 2, arbitrary: fc.record({ what: fc.constant("write" as const), name, at, length, from }) },
  { weight: 1, arbitrary: fc.oneof(begin, fc.record({ what: fc.constantFrom("rename", "unlink"), name })) },
  { weight: 2, arbitrary: fc.record({ what: fc.constantFrom("idle", "seal", "finish", "restart", "checkpoint") }) },
);
const end: fc.Arbitrary<Step> = fc.record({ what: fc.constantFrom("publish", "publish", "seal", "idle") });
const steps = fc
  .array(fc.tuple(begin, fc.array(trouble, { maxLength: 3 }), end), { maxLength: 10, size: "max" })
  .map((rounds) => rounds.flatMap(([first, between, last]) => [first, ...between, last]));

test("files cut while they are written are published as if they had been cut whole", async () => {
  await fc.assert(
    fc.asyncProperty(steps, async (all) => {
      const world = await World.create();
      for (const each of all) await world.take(each);
      await world.publish();
      await world.publish();
      expect(world.faults).toEqual([]);
    }),
    { numRuns: RUNS },
  );
});

test("a file that was saved whole is read again only around its changes", async () => {
  const world = await World.create();
  await world.take({ what: "stream", name: "one", pieces: 10, length: 90 * KiB, from: 0 });
  await world.publish();
  await world.take({ what: "insert", name: "one", at: 0.5, length: 1 });
  await world.take({ what: "idle" });
  const { fs } = world;
  const before = fs.dataRead;
  await world.publish();
  expect(fs.dataRead - before).toBeLessThan(100 * KiB);
});

test("storing a new file reads it once", async () => {
  const world = await World.create();
  await world.take({ what: "stream", name: "one", pieces: 10, length: 90 * KiB, from: 0 });
  await world.take({ what: "idle" });
  await world.publish();
  expect(world.fs.dataRead).toBe(900 * KiB);
});

/** A filesystem and what its files should hold. */
class World {
  readonly fs: VfsHarness;
  /** What was published otherwise than it was written, or than the whole file is cut. */
  readonly faults: string[] = [];
  readonly #files = new Map<Name, Buffer>();
  #sealed: PublishedEpoch | undefined;
  /** What each inode held when the epoch was sealed. */
  #held: ReadonlyMap<Ino, Buffer> = new Map();

  private constructor(fs: VfsHarness) {
    this.fs = fs;
  }

  static async create(): Promise<World> {
    return new World(await VfsHarness.create(EARLY, undefined, config));
  }

  async take(step: Step): Promise<void> {
    switch (step.what) {
      case "publish":
        return this.publish();
      case "seal":
        return this.#seal();
      case "finish":
        return this.#finish();
      case "idle":
        return this.fs.early.idle();
      case "checkpoint":
        return this.fs.vfs.checkpoint();
      case "restart":
        this.fs.vfs.persist();
        this.#sealed = undefined;
        return this.fs.restart();
      case "rename":
        return this.#rename(step.name);
      case "unlink":
        if (this.#files.delete(step.name)) await this.fs.unlink(step.name);
        return;
      default:
        return this.#change(step);
    }
  }

  /** What is on its way first. */
  async publish(): Promise<void> {
    await this.#seal();
    await this.#finish();
  }

  async #seal(): Promise<void> {
    if (this.#sealed !== undefined) return;
    const held = new Map<Ino, Buffer>();
    for (const [file, bytes] of this.#files) held.set(await this.fs.ino(file), bytes);
    const isHeld = this.fs.vfs.heldEpochs.length > 0 && this.fs.vfs.heldEpochs[0] !== this.fs.vfs.epoch;
    this.#sealed = await this.fs.build();
    if (!isHeld) this.#held = held;
    for (const [ino, { record }] of this.#sealed?.objects ?? []) {
      if (record.type !== "file") continue;
      const bytes = this.#held.get(ino) ?? Buffer.alloc(0);
      const whole = await writeBytes(new BlockMap(), config, bytes);
      const read = await readContent(this.fs.content, record.content, record.size, 0, record.size);
      if (!isDeepStrictEqual(record.content, whole)) this.faults.push(`inode ${ino} is cut otherwise`);
      if (Buffer.compare(read, bytes) !== 0) this.faults.push(`inode ${ino} has other bytes`);
    }
  }

  async #finish(): Promise<void> {
    if (this.#sealed !== undefined) this.fs.finish(this.#sealed);
    this.#sealed = undefined;
  }

  async #rename(from: Name): Promise<void> {
    const to = NAMES.find((other) => other !== from) ?? from;
    const bytes = this.#files.get(from);
    if (bytes === undefined) return;
    await this.fs.rename(from, to);
    this.#files.delete(from);
    this.#files.set(to, bytes);
  }

  async #change(step: Extract<Step, { name: Name; length: number }>): Promise<void> {
    if (!this.#files.has(step.name)) {
      await this.fs.make(step.name);
      this.#files.set(step.name, Buffer.alloc(0));
    }
    const ino = await this.fs.ino(step.name);
    const before = this.#files.get(step.name) ?? Buffer.alloc(0);
    const place = "at" in step ? Math.floor(step.at * before.length) : 0;
    switch (step.what) {
      case "fresh":
        return this.#save(
          step.name,
          ino,
          NOISE.subarray(step.from, step.from + step.pieces * step.length),
          step.length,
        );
      case "stream":
        for (let piece = 0; piece < step.pieces; piece++) {
          const at = this.#files.get(step.name)?.length ?? 0;
          await this.#write(step.name, ino, at, NOISE.subarray(step.from + at, step.from + at + step.length));
        }
        return;
      case "write":
        return this.#write(step.name, ino, place, NOISE.subarray(step.from, step.from + step.length));
      case "rewrite":
        return this.#save(step.name, ino, before, step.length);
      case "insert": {
        const inserted = NOISE.subarray(step.length, 2 * step.length);
        const after = Buffer.concat([before.subarray(0, place), inserted, before.subarray(place)]);
        return this.#save(step.name, ino, after, 16 * KiB);
      }
      case "full":
        return this.#writeOnFullDisk(step.name, ino, place, NOISE.subarray(step.length, 2 * step.length));
      case "truncate":
        await this.fs.run((vfs) => vfs.setAttributes(ino, { size: place }));
        this.#files.set(step.name, resized(before, place));
        return;
      case "punch": {
        await this.fs.run((vfs) => vfs.allocate(ino, FALLOC_PUNCH_HOLE | FALLOC_KEEP_SIZE, place, step.length));
        const after = Buffer.from(before);
        after.subarray(place, place + step.length).fill(0);
        this.#files.set(step.name, after);
        return;
      }
    }
  }

  /** As programs save a file: it is cut to nothing and written again, in pieces. */
  async #save(name: Name, ino: Ino, bytes: Uint8Array, piece: number): Promise<void> {
    await this.fs.run((vfs) => vfs.setAttributes(ino, { size: 0 }));
    this.#files.set(name, Buffer.alloc(0));
    for (let at = 0; at < bytes.length; at += piece) await this.#write(name, ino, at, bytes.subarray(at, at + piece));
  }

  async #write(name: Name, ino: Ino, at: number, bytes: Uint8Array): Promise<void> {
    await this.fs.write(ino, at, bytes);
    const before = this.#files.get(name) ?? Buffer.alloc(0);
    const after = resized(before, Math.max(before.length, at + bytes.length));
    after.set(bytes, at);
    this.#files.set(name, after);
  }

  async #writeOnFullDisk(name: Name, ino: Ino, at: number, bytes: Uint8Array): Promise<void> {
    this.fs.disk.capacity = this.fs.disk.used + Math.floor(bytes.length / 2);
    try {
      await this.#write(name, ino, at, bytes);
    } catch (error) {
      if (!(error instanceof FsError)) throw error;
    } finally {
      this.fs.disk.capacity = Infinity;
    }
  }
}

function resized(bytes: Uint8Array, size: number): Buffer {
  const after = Buffer.alloc(size);
  after.set(bytes.subarray(0, size));
  return after;
}
