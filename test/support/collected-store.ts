/** A bucket in an object store in memory, with writers and collections on a clock that tests advance. */
import type { Clock } from "../../src/base/clock.ts";
import { systemClock } from "../../src/base/clock.ts";
import type { WriterId } from "../../src/base/ids.ts";
import { VerifiedReader } from "../../src/blocks/verified-reader.ts";
import { Bucket } from "../../src/bucket/bucket.ts";
import { collect, type CollectOptions } from "../../src/bucket/gc/collector.ts";
import { auditObjects } from "../../src/bucket/packed/object-audit.ts";
import { PackedRemote } from "../../src/bucket/packed/packed-remote.ts";
import { verifyBucket } from "../../src/bucket/verify.ts";
import { openWriter } from "../../src/bucket/writer.ts";
import type { BucketWriter, WriterPublication } from "../../src/bucket/writer.ts";
import { sourceOfBytes } from "../../src/bucket/writer/file-source.ts";
import type { Retention } from "../../src/format/commits/retention.ts";
import { MemoryObjectStore } from "../../src/objects/memory-object-store.ts";
import type { ObjectStore } from "../../src/objects/object-store.ts";
import { name } from "./epochs.ts";
import { createBucket, newWriter, pathsOf, seededStream } from "./test-bucket.ts";

const ATTRIBUTES = { mode: 0o644, uid: 0, gid: 0 };
export const HOUR_MS = 3_600_000;
let seeds = 100;

/** A clock that tests advance. */
export class Hours {
  ms: number;
  readonly clock: Clock = {
    ...systemClock,
    sleep: async () => {},
    nowNs: () => BigInt(this.ms) * 1_000_000n,
    monotonicMs: () => this.ms,
  };

  constructor(ms = 1_700_000_000_000) {
    this.ms = ms;
  }
}

export async function opened(store: ObjectStore, { clock }: Hours) {
  const random = seededStream(++seeds);
  const reading = new PackedRemote(store, { clock, random });
  const made = await newWriter(await Bucket.open(reading, { blocks: reading.blocks }), seeds, random);
  const remote = new PackedRemote(store, { clock, random, writer: () => made.writer.device.writer });
  const bucket = await Bucket.open(remote, { blocks: new VerifiedReader(remote.blocks) });
  const context = { ...made, bucket, clock };
  let epoch = 0;
  const edit = async (work: (writer: BucketWriter) => Promise<unknown>, publication?: WriterPublication) => {
    await using session = await openWriter(context, ++epoch);
    await work(session);
    return (await session.publish("", publication)).kind;
  };
  const retain = (retention: Retention | undefined) =>
    edit(async () => {}, { policy: (policy) => ({ ...policy, retention }) });
  const put = (file: string, bytes: Uint8Array) =>
    edit((writer) => writer.putFile([name(file)], sourceOfBytes(bytes), ATTRIBUTES));
  return { remote, bucket, context, edit, put, retain };
}

/** Collects young objects too, even if a small bucket gains nothing. */
export const EAGER = { youngMs: 0, leastGainBytes: -Infinity };

export async function collectIn(
  store: ObjectStore,
  hours: Hours,
  options: Partial<
    Pick<
      CollectOptions,
      "dryRun" | "youngMs" | "leastGainBytes" | "memoryBytes" | "acceptsLostRoots" | "onProgress" | "onStep"
    >
  > = {},
) {
  const { bucket, context } = await opened(store, hours);
  const { writer, clock, random } = context;
  return collect({ bucket, store, writer, clock, random, ...options });
}

/** A store with a bucket; `dates` gives the store's own time. */
export async function newStore(hours: Hours, dates: Hours = hours): Promise<MemoryObjectStore> {
  const store = new MemoryObjectStore("memory:", () => dates.ms);
  const writer = "ab".repeat(16) as WriterId;
  const remote = new PackedRemote(store, { clock: hours.clock, random: seededStream(1), writer: () => writer });
  await createBucket(remote, 1, hours.clock);
  return store;
}

export async function faultsOf(store: ObjectStore, hours: Hours): Promise<string[]> {
  const { bucket, remote } = await opened(store, hours);
  const { damage } = await verifyBucket(bucket, {
    blocks: remote.blocks,
    audit: (blocks) => auditObjects(remote, { blocks }),
  });
  return damage.map(({ what, object }) => `${object} ${what}`);
}

export async function shown(store: ObjectStore, hours: Hours) {
  const { bucket } = await opened(store, hours);
  return pathsOf(bucket, (await bucket.head()).commit.body.tree);
}
