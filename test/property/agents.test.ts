/** Several whole agents, without kernel and threads, on one bucket: filesystem, overlay, publisher, merge. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { Publisher } from "../../src/agent/publisher.ts";
import { silentLog } from "../../src/base/log.ts";
import type { Bucket } from "../../src/bucket/bucket.ts";
import { dataReaderOf } from "../../src/overlay/data-reader.ts";
import { openVfs } from "../../src/vfs/open-vfs.ts";
import type { Vfs } from "../../src/vfs/vfs.ts";
import { MemoryRemote } from "../support/memory-remote.ts";
import { SimulatedDisk } from "../support/simulated-disk.ts";
import { createBucket, hurriedClock, newWriter, openBucket } from "../support/test-bucket.ts";
import { VfsDriver } from "../support/vfs-driver.ts";
import { anyOperation, applyTo, treeOf } from "../support/vfs-operations.ts";
import type { Operation } from "../support/vfs-operations.ts";

const HEAVY = process.env["SYNCLINE_TEST_ALL"] !== undefined;
const AGENTS = 3;

/** "begin": a flush whose end nobody waits for. */
const EVENTS = ["flush", "begin", "begin", "catchUp", "restart", "checkpoint"] as const;
type Event = (typeof EVENTS)[number];
type Step = { readonly agent: number; readonly what: Operation | Event };

const steps = fc.array(
  fc.record({
    agent: fc.nat({ max: AGENTS - 1 }),
    what: fc.oneof({ weight: 6, arbitrary: anyOperation }, { weight: 2, arbitrary: fc.constantFrom(...EVENTS) }),
  }) as fc.Arbitrary<Step>,
  { maxLength: HEAVY ? 120 : 50, size: "max" },
);

class TestAgent {
  readonly driver: VfsDriver;
  #publisher: Publisher;
  readonly #bucket: Bucket;
  readonly #writer: Awaited<ReturnType<typeof newWriter>>;
  #disk: SimulatedDisk;
  #generation = 0;

  private constructor(bucket: Bucket, writer: Awaited<ReturnType<typeof newWriter>>, disk: SimulatedDisk, vfs: Vfs) {
    this.#bucket = bucket;
    this.#writer = writer;
    this.#disk = disk;
    this.driver = new VfsDriver(vfs);
    this.#publisher = this.#publish();
  }

  static async start(remote: MemoryRemote, seed: number): Promise<TestAgent> {
    const bucket = await openBucket(remote);
    const disk = new SimulatedDisk();
    return new TestAgent(bucket, await newWriter(bucket, seed), disk, await open(bucket, disk));
  }

  /** What the old process has sent to the bucket may still arrive, but it does nothing more with its overlay. */
  async restart(): Promise<void> {
    this.#generation++;
    this.#disk = this.#disk.afterKill();
    this.driver.vfs = await open(this.#bucket, this.#disk);
    this.#publisher = this.#publish();
  }

  async flush(): Promise<void> {
    await this.#publisher.flush();
    this.#checkReached();
  }

  async catchUp(): Promise<void> {
    await this.#publisher.rootMoved();
    this.#checkReached();
  }

  #checkReached(): void {
    const { lastError } = this.#publisher.state();
    if (lastError !== undefined) throw lastError;
  }

  get base(): string {
    return this.driver.vfs.baseState().commit;
  }

  #publish(): Publisher {
    const { vfs } = this.driver;
    const generation = this.#generation;
    const alive = () => (generation === this.#generation ? Promise.resolve() : new Promise<void>(() => {}));
    const { bucket, clock, random, log, writer } = this.#writer;
    return new Publisher({
      bucket,
      clock,
      random,
      log,
      writer: { writer, replace: async () => writer },
      fixed: false,
      overlay: {
        seal: async () => {
          await alive();
          const changes = vfs.seal();
          await vfs.sync();
          return structuredClone(changes);
        },
        published: async (epoch) => {
          await alive();
          vfs.published(structuredClone(epoch));
        },
        adopt: async (base) => {
          await alive();
          vfs.adopt(structuredClone(base));
        },
      },
      data: dataReaderOf(this.#disk),
      base: vfs.baseState(),
      held: vfs.heldEpochs.length > 0,
      releaseMemory: () => {},
    });
  }
}

async function open(bucket: Bucket, storage: SimulatedDisk): Promise<Vfs> {
  const current = await bucket.current();
  if (current === undefined) throw new Error("the bucket has no root");
  const { cid: commit, body } = current.commit;
  const base = { commit, tree: body.tree, seq: body.seq };
  const limits = { segmentBytes: 64 * 1024, frameBytes: 4096, checkpointBytes: 256 * 1024 };
  return openVfs({ storage, blocks: bucket.blocks, base, clock: hurriedClock, log: silentLog, limits });
}

test("agents that stop writing all end at one root and show the same tree", async () => {
  await fc.assert(
    fc.asyncProperty(steps, async (all) => {
      const remote = new MemoryRemote();
      await createBucket(remote);
      const agents = await Promise.all(
        Array.from({ length: AGENTS }, (_, index) => TestAgent.start(remote, 10 + index)),
      );
      for (const { agent: index, what } of all) {
        const agent = agents[index];
        if (agent === undefined) continue;
        if (what === "flush") await agent.flush();
        else if (what === "begin") void agent.flush();
        else if (what === "catchUp") await agent.catchUp();
        else if (what === "restart") await agent.restart();
        else if (what === "checkpoint") await agent.driver.vfs.checkpoint();
        else await applyTo(agent.driver, what);
      }
      for (let round = 0; round < 4; round++) for (const agent of agents) await agent.flush();
      const [first, ...others] = agents;
      if (first === undefined) return;
      expect(agents.map(({ driver }) => driver.vfs.pending().files)).toEqual(agents.map(() => 0));
      const tree = await treeOf(first.driver);
      for (const other of others) {
        expect(other.base).toBe(first.base);
        expect(await treeOf(other.driver)).toEqual(tree);
      }
      // What an agent shows from its caches is what it shows without them.
      await first.restart();
      expect(await treeOf(first.driver)).toEqual(tree);
    }),
    { numRuns: HEAVY ? 1_000 : 25 },
  );
});
