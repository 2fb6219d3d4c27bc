/** The publish loop under lost replies, delayed swaps, racing writers and crashes. SYNCLINE_TEST_ALL: 2,000 schedules. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { ChangeSet, DataReader } from "../../../src/fstree/change-set.ts";
import type { Bucket } from "../../../src/bucket/bucket.ts";
import type { VerifiedCommit } from "../../../src/bucket/verified-commit.ts";
import { log } from "../../../src/bucket/history.ts";
import { publishEpoch } from "../../../src/bucket/publish.ts";
import type { PublishContext } from "../../../src/bucket/publish.ts";
import { verifyBucket } from "../../../src/bucket/verify.ts";
import { epochOf } from "../../support/epochs.ts";
import { MemoryRemote } from "../../support/memory-remote.ts";
import type { SwapFault } from "../../support/memory-remote.ts";
import { createBucket, newWriter, openBucket, pathsOf } from "../../support/test-bucket.ts";

const all = process.env["SYNCLINE_TEST_ALL"] !== undefined;
const runs = { numRuns: all ? 2_000 : 20 };
const patience = all ? 3_600_000 : 60_000;

const swapFaults = fc.array(fc.constantFrom<SwapFault>("none", "none", "committed-unseen", "lost", "late"), {
  maxLength: 12,
});

/** Whose turn it is, and after how many calls to the remote its process dies; undefined: never. */
const turns = fc.array(
  fc.record({ writer: fc.nat(2), crashAfter: fc.option(fc.nat(8), { nil: undefined, freq: 3 }) }),
  { minLength: 1, maxLength: 8 },
);

class Crash extends Error {}

describe("publishing under faults", () => {
  test(
    "every epoch is published exactly once, whatever replies are lost and wherever writers die",
    async () => {
      await fc.assert(
        fc.asyncProperty(turns, swapFaults, async (schedule, faults) => {
          const remote = new MemoryRemote();
          const bucket = await createBucket(remote);
          const writers = await Promise.all([2, 3, 4].map((seed) => WriterProcess.start(remote, seed)));
          remote.faults.push(...faults);
          for (const { writer, crashAfter } of schedule) await writers[writer]?.write(crashAfter);
          remote.faults.length = 0;
          for (const writer of writers) await writer.drain();
          remote.landLate();

          const head = await headOf(bucket);
          const files = await pathsOf(bucket, head.body.tree);
          const expected = writers.flatMap((writer) => writer.files);
          expect(Object.keys(files).sort()).toEqual(expected.sort());
          for (const writer of writers)
            expect(await bucket.heads.epochOf(head.body, writer.id)).toBe(writer.files.length);
          await expectLinear(bucket, head, expected.length);
          expect((await verifyBucket(bucket, { blocks: remote.blocks })).damage).toEqual([]);
        }),
        runs,
      );
    },
    patience,
  );

  test(
    "writers that race through the same faults all publish",
    async () => {
      await fc.assert(
        fc.asyncProperty(swapFaults, fc.integer({ min: 2, max: 5 }), async (faults, count) => {
          const remote = new MemoryRemote();
          const bucket = await createBucket(remote);
          const seeds = Array.from({ length: count }, (_, index) => index + 2);
          const writers = await Promise.all(seeds.map((seed) => WriterProcess.start(remote, seed)));
          remote.faults.push(...faults);
          await Promise.all(writers.map((writer) => writer.write(undefined)));
          await Promise.all(writers.map((writer) => writer.drain()));
          const head = await headOf(bucket);
          const files = Object.keys(await pathsOf(bucket, head.body.tree)).sort();
          expect(files).toEqual(writers.flatMap((writer) => writer.files).sort());
          await expectLinear(bucket, head, count);
        }),
        runs,
      );
    },
    patience,
  );
});

/** A writer that keeps its epoch until it is published, through crashes. */
class WriterProcess {
  readonly id: string & PublishContext["writer"]["device"]["writer"];
  readonly files: string[] = [];
  readonly #remote: MemoryRemote;
  readonly #context: PublishContext;
  #base: VerifiedCommit;
  #held: { changes: ChangeSet; data: DataReader } | undefined;

  private constructor(remote: MemoryRemote, context: PublishContext, base: VerifiedCommit) {
    this.#remote = remote;
    this.#context = context;
    this.#base = base;
    this.id = context.writer.device.writer;
  }

  static async start(remote: MemoryRemote, seed: number): Promise<WriterProcess> {
    const bucket = await openBucket(remote);
    return new WriterProcess(remote, await newWriter(bucket, seed), await headOf(bucket));
  }

  /** Seals a new file, after what is held, and tries to publish it. */
  async write(crashAfter: number | undefined): Promise<void> {
    if (this.#held !== undefined) await this.#publish(undefined);
    if (this.#held !== undefined) return;
    const epoch = this.files.length + 1;
    const file = `${this.id.slice(0, 6)}-${epoch}`;
    const on = { commit: this.#base.cid, seq: this.#base.body.seq };
    this.#held = epochOf(on, epoch, [{ ino: 2, names: [[1, file]], bytes: Buffer.from(file) }]);
    this.files.push(file);
    await this.#publish(crashAfter);
  }

  async drain(): Promise<void> {
    while (this.#held !== undefined) await this.#publish(undefined);
  }

  async #publish(crashAfter: number | undefined): Promise<void> {
    const { changes, data } = this.#held ?? {};
    if (changes === undefined || data === undefined) return;
    // A new process each time: nothing in memory survives.
    const bucket = await openBucket(mortal(this.#remote, crashAfter ?? Infinity));
    try {
      const outcome = await publishEpoch({ ...this.#context, bucket }, changes, data);
      if (outcome.kind === "queued") return;
      if (outcome.kind !== "published") throw new Error(`unexpected outcome: ${outcome.kind}`);
      this.#held = undefined;
      this.#base = await this.#context.bucket.commit(outcome.epoch.base.commit);
    } catch (error) {
      if (!(error instanceof Crash)) throw error;
    }
  }
}

/** The same bucket for a process that dies at its n-th call: before it or, for a swap, also right after it took place. */
function mortal(remote: MemoryRemote, calls: number): MemoryRemote {
  let left = calls;
  const die = () => {
    if (left-- <= 0) throw new Crash();
  };
  return Object.assign(Object.create(remote) as MemoryRemote, {
    blocks: remote.blocks,
    readGenesis: () => remote.readGenesis(),
    readRoot: async () => {
      die();
      return remote.readRoot();
    },
    beginUpload: () => {
      const session = remote.beginUpload();
      return {
        ...session,
        prepare: async (...args: Parameters<typeof session.prepare>) => {
          die();
          const prepared = await session.prepare(...args);
          const swap = async () => {
            die();
            const outcome = await prepared.swap();
            die();
            return outcome;
          };
          return { ...prepared, swap };
        },
      };
    },
  });
}

async function headOf(bucket: Bucket): Promise<VerifiedCommit> {
  const current = await bucket.current();
  if (current === undefined) throw new Error("the bucket has no root");
  return current.commit;
}

async function expectLinear(bucket: Bucket, head: VerifiedCommit, commits: number): Promise<void> {
  const seqs: number[] = [];
  for await (const { body } of log(bucket, head)) seqs.push(body.seq);
  expect(seqs).toEqual(Array.from({ length: commits + 1 }, (_, index) => commits + 1 - index));
}
