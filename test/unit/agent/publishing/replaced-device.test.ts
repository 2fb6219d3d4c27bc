/** Two agents on copies of one state folder: the second gets a new device, and what it keeps in the store gets its name. */
import { expect, test } from "vitest";
import { HeldBase } from "../../../../src/agent/state/held-base.ts";
import { Publisher } from "../../../../src/agent/publishing/publisher.ts";
import type { PackName } from "../../../../src/base/ids.ts";
import { SynclineError } from "../../../../src/base/errors.ts";
import { silentLog } from "../../../../src/base/log.ts";
import { VerifiedReader } from "../../../../src/blocks/verified-reader.ts";
import { Bucket } from "../../../../src/bucket/bucket.ts";
import { PackedRemote } from "../../../../src/bucket/packed/packed-remote.ts";
import { publishEpoch } from "../../../../src/bucket/publish.ts";
import { verifyBucket } from "../../../../src/bucket/verify.ts";
import { encodeLease } from "../../../../src/format/commits/lease.ts";
import { basesName, LEASE_FOLDER, leaseName, PACK_FOLDER } from "../../../../src/format/blocks/object-name.ts";
import { MemoryObjectStore } from "../../../../src/objects/memory-object-store.ts";
import type { PutOutcome } from "../../../../src/objects/object-store.ts";
import { lastingWriter } from "../../../../src/simulate/lasting-writer.ts";
import { alteredStore } from "../../../support/altered-store.ts";
import { noise } from "../../../support/bytes.ts";
import { epochOf, type ObjectEdit } from "../../../support/epochs.ts";
import { FakeOverlay } from "../../../support/fake-overlay.ts";
import { ManualClock } from "../../../support/manual-clock.ts";
import { createBucket, newWriter, pathsOf, seededRandom } from "../../../support/test-bucket.ts";

const MINUTE_MS = 60_000;
/** Two packs and a little. */
const LARGE = noise(36 * 1024 * 1024, 1);
const born = (file: string, bytes: Uint8Array): ObjectEdit => ({ ino: 2, names: [[1, file]], bytes });

/** An agent whose changes wait, and whose device a copy of its state folder uses too. */
async function copied() {
  const clock = new ManualClock();
  const memory = new MemoryObjectStore("memory:", () => Number(clock.nowNs() / 1_000_000n));
  const first = await createBucket(new PackedRemote(memory, { clock, random: seededRandom(1) }), 1, clock);
  const [old, fresh] = [(await newWriter(first, 2)).writer, (await newWriter(first, 3)).writer];

  const touched: string[] = [];
  const puts = { cutAfter: Infinity };
  const put = (name: string, send: () => Promise<PutOutcome>) => {
    touched.push(name);
    const isCut = /^(pack|commit)\//.test(name) && --puts.cutAfter < 0;
    return isCut ? Promise.resolve({ kind: "unknown", cause: new Error("cut") } as const) : send();
  };
  const store = alteredStore(memory, {
    putNew: (name, ...how) => put(name, () => memory.putNew(name, ...how)),
    putIfMatch: (name, ...how) => put(name, () => memory.putIfMatch(name, ...how)),
    delete: async (name) => {
      touched.push(name);
      await memory.delete(name);
    },
  });

  const author = lastingWriter(old, async () => fresh);
  const writer = () => author.writer.device.writer;
  const remote = new PackedRemote(store, { clock, random: seededRandom(4), writer });
  const bucket = await Bucket.open(remote, { blocks: new VerifiedReader(remote.blocks) });
  const head = async () => {
    const { cid: commit, body } = (await bucket.head()).commit;
    return { commit, tree: body.tree, seq: body.seq };
  };
  const base = await head();
  const overlay = new FakeOverlay(base);
  const pause = { error: undefined as SynclineError | undefined };
  const publisher = new Publisher({
    bucket,
    writer: author,
    fixed: false,
    overlay,
    data: overlay.data,
    base,
    held: false,
    heldBase: new HeldBase({ remote, clock, log: silentLog }),
    paused: () => pause.error,
    releaseMemory: () => {},
    clock,
    random: seededRandom(5),
    log: silentLog,
  });
  /** The copy publishes as the old device. */
  const copy = async () => {
    const { changes, data } = epochOf(base, 1, [born("theirs", Buffer.from("theirs"))]);
    const context = { ...(await newWriter(first, 2)), clock };
    expect((await publishEpoch(context, changes, data)).kind).toBe("published");
  };
  const files = async () => Object.keys(await pathsOf(bucket, (await head()).tree));
  const damage = async () => (await verifyBucket(bucket, { blocks: remote.blocks })).damage;
  const names = { old: old.device.writer, fresh: fresh.device.writer };
  return { clock, memory, puts, pause, touched, publisher, overlay, copy, files, damage, ...names };
}

test("an agent with a new device leases packs under its name, and leaves the old device's lease and packs alone", async () => {
  const { memory, puts, touched, publisher, overlay, copy, files, damage, old, fresh } = await copied();
  overlay.edit(born("ours", LARGE));
  puts.cutAfter = 1;
  expect(await publisher.flush()).toMatchObject({ again: true });
  const left = (touched.find((name) => name.startsWith(PACK_FOLDER)) ?? "") as PackName;
  await copy();
  expect(await publisher.flush()).toEqual({ again: true, afterMs: 0 });
  expect(publisher.state().writer).toBe(fresh);

  // The copy is uploading, too.
  await memory.delete(leaseName(old));
  const theirs = encodeLease([left]);
  expect((await memory.putNew(leaseName(old), [theirs])).kind).toBe("stored");
  touched.length = 0;
  puts.cutAfter = Infinity;
  expect(await publisher.flush()).toEqual({ again: false, afterMs: 0 });
  expect(new Set(touched.filter((name) => name.startsWith(LEASE_FOLDER)))).toEqual(new Set([leaseName(fresh)]));
  expect((await memory.get(leaseName(old)))?.bytes).toEqual(theirs);
  expect(touched.filter((name) => name.startsWith(PACK_FOLDER))).toHaveLength(2);
  expect(await files()).toEqual(["ours", "theirs"]);
  expect(await damage()).toEqual([]);
});

test("an agent with a new device notes its base under its name, and leaves the old device's note alone", async () => {
  const { clock, pause, touched, publisher, overlay, copy, puts, old, fresh } = await copied();
  overlay.edit(born("ours", Buffer.from("ours")));
  puts.cutAfter = 0;
  await publisher.flush();
  await clock.advance(6 * MINUTE_MS);
  expect(touched).toContain(basesName(old));
  await copy();
  expect(await publisher.flush()).toEqual({ again: true, afterMs: 0 });
  touched.length = 0;
  await publisher.flush();
  pause.error = new SynclineError("paused", "Syncing is paused.");
  await clock.advance(6 * MINUTE_MS);
  expect(touched).toContain(basesName(fresh));
  pause.error = undefined;
  puts.cutAfter = Infinity;
  expect(await publisher.flush()).toMatchObject({ again: false });
  await clock.advance(0);
  expect(touched.filter((name) => name === basesName(fresh))).toHaveLength(2);
  expect(touched).not.toContain(basesName(old));
});
