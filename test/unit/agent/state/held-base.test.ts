/** `bases/<writer>`: written only for changes that stay unpublished, heeded by collections, and gone with their publication. */
import { describe, expect, test, vi } from "vitest";
import { HeldBase } from "../../../../src/agent/state/held-base.ts";
import { Publisher } from "../../../../src/agent/publishing/publisher.ts";
import type { Cid } from "../../../../src/base/ids.ts";
import { SynclineError } from "../../../../src/base/errors.ts";
import { silentLog } from "../../../../src/base/log.ts";
import { VerifiedReader } from "../../../../src/blocks/verified-reader.ts";
import { Bucket } from "../../../../src/bucket/bucket.ts";
import { collect } from "../../../../src/bucket/gc/collector.ts";
import { PackedRemote } from "../../../../src/bucket/packed/packed-remote.ts";
import { publishEpoch } from "../../../../src/bucket/publish.ts";
import type { BucketRemote } from "../../../../src/bucket/remote.ts";
import { BASES_FOLDER, basesName } from "../../../../src/format/blocks/object-name.ts";
import { decodeBases } from "../../../../src/format/blocks/root-object.ts";
import { MemoryObjectStore } from "../../../../src/objects/memory-object-store.ts";
import type { ObjectStore } from "../../../../src/objects/object-store.ts";
import { countedStore } from "../../../support/counted-store.ts";
import { epochOf } from "../../../support/epochs.ts";
import { FakeOverlay } from "../../../support/fake-overlay.ts";
import { ManualClock } from "../../../support/manual-clock.ts";
import { createBucket, newWriter, pathsOf, seededRandom } from "../../../support/test-bucket.ts";
import { lastingWriter } from "../../../../src/simulate/lasting-writer.ts";

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;

async function world() {
  const clock = new ManualClock();
  const memory = new MemoryObjectStore("memory:", () => Number(clock.nowNs() / 1_000_000n));
  const { store, take } = countedStore(memory);
  const quota = { full: false, cut: false };
  const pause = { error: undefined as SynclineError | undefined };
  const open = async (seed: number, through: ObjectStore) => {
    const reading = new PackedRemote(memory, { clock, random: seededRandom(seed) });
    const found = await Bucket.open(reading, { blocks: reading.blocks });
    const { writer } = await newWriter(found, seed);
    const remote = new PackedRemote(through, { clock, random: seededRandom(seed), writer: () => writer.device.writer });
    const bucket = await Bucket.open(remote, { blocks: new VerifiedReader(remote.blocks) });
    return { ...(await newWriter(bucket, seed)), remote, clock };
  };
  await createBucket(new PackedRemote(memory, { clock, random: seededRandom(1) }), 1, clock);
  const me = await open(2, limited(store, quota));
  const other = await open(3, memory);
  const head = async () => {
    const { cid: commit, body } = (await other.bucket.head()).commit;
    return { commit, tree: body.tree, seq: body.seq };
  };
  let theirs = 0;
  const elsewhere = async (file: string) => {
    const { changes, data } = epochOf(await head(), ++theirs, [
      { ino: 2, names: [[1, file]], bytes: Buffer.from(file) },
    ]);
    expect((await publishEpoch(other, changes, data)).kind).toBe("published");
  };
  const overlay = new FakeOverlay(await head());
  const start = async (held: boolean) => {
    const base = await head();
    const heldBase = new HeldBase({ remote: me.remote, clock, log: silentLog });
    const { bucket, random, writer } = me;
    return new Publisher({
      bucket,
      writer: lastingWriter(writer, () => Promise.reject(new Error("not replaced"))),
      fixed: false,
      overlay,
      data: overlay.data,
      base,
      held,
      heldBase,
      paused: () => pause.error,
      releaseMemory: () => {},
      clock,
      random,
      log: silentLog,
    });
  };
  const held = async () => {
    const object = await memory.get(basesName(me.writer.device.writer));
    return object && decodeBases(object.bytes).map(({ commit }) => commit);
  };
  const gc = async () => {
    const { bucket, writer, random } = await open(4, memory);
    const time = { ...clock, ...quick(clock) };
    return collect({ bucket, store: memory, writer, clock: time, random, leastGainBytes: -Infinity });
  };
  const files = async () => pathsOf(other.bucket, (await head()).tree);
  return { clock, quota, pause, take, me, other, overlay, head, elsewhere, start, held, gc, files };
}

/** The time of the clock, without its sleeps. */
function quick(clock: ManualClock) {
  return {
    nowNs: () => clock.nowNs(),
    monotonicMs: () => clock.monotonicMs(),
    sleep: async () => {},
    after: (ms: number, action: () => void) => clock.after(ms, action),
  };
}

/** A store with no room for anything but small notes, or out of reach. */
function limited(inner: ObjectStore, state: { readonly full: boolean; readonly cut: boolean }): ObjectStore {
  return {
    ...inner,
    get: (name) => inner.get(name),
    putNew: async (name, body, options) => {
      if (state.cut) throw new SynclineError("store_unreachable", "Nobody answers.");
      if (state.full && !name.startsWith(BASES_FOLDER)) throw new SynclineError("disk_full", "There is no room.");
      return inner.putNew(name, body, options);
    },
  };
}

const born = (ino: number, file: string) => ({ ino, names: [[1, file]] as const, bytes: Buffer.from(file) });

test("an agent that publishes promptly writes only its commits, however long it runs", async () => {
  const { start, overlay, clock, take, held } = await world();
  const publisher = await start(false);
  take();
  for (let pass = 0; pass < 5; pass++) {
    overlay.edit(born(10 + pass, `f${pass}`));
    await publisher.flush();
    await clock.advance(4 * MINUTE_MS);
  }
  expect(take().names.filter((name) => name !== "root" && !name.startsWith("commit/"))).toEqual([]);
  expect(await held()).toBeUndefined();
});

test("changes pending for more than five minutes protect their base from collections until they are published", async () => {
  const { start, overlay, clock, quota, held, head, elsewhere, gc, other, files } = await world();
  await elsewhere("before");
  const base = await head();
  await overlay.adopt({ ...base, changes: [] });
  const publisher = await start(false);
  quota.full = true;
  overlay.edit(born(10, "mine"));
  await publisher.flush();
  await clock.advance(4 * MINUTE_MS);
  expect(await held()).toBeUndefined();
  await clock.advance(2 * MINUTE_MS);
  expect(await held()).toEqual([base.commit]);
  for (const file of ["one", "two", "three"]) {
    await clock.advance(8 * DAY_MS);
    await elsewhere(file);
    await elsewhere(`${file} again`);
    await publisher.flush();
  }
  expect((await gc()).swaps).toBeGreaterThan(0);
  // What nobody holds is gone, and the base is not.
  expect((await other.bucket.commit(base.commit)).body.tree).toBe(base.tree);
  quota.full = false;
  expect(await publisher.flush()).toMatchObject({ again: false });
  expect(Object.keys(await files())).toHaveLength(8);
  // `undefined` would say that the base was gone.
  expect(overlay.publishedEpochs[0]?.base.changes).toBeDefined();
  await clock.advance(0);
  expect(await held()).toBeUndefined();
});

test("a base is held once the bucket is reachable again, and a later run that publishes releases it", async () => {
  const { start, overlay, clock, quota, held, head } = await world();
  const base = await head();
  const publisher = await start(false);
  quota.cut = true;
  overlay.edit(born(10, "mine"));
  await publisher.flush();
  await clock.advance(6 * MINUTE_MS);
  expect(await held()).toBeUndefined();
  quota.cut = false;
  quota.full = true;
  await clock.advance(5 * MINUTE_MS);
  expect(await held()).toEqual([base.commit]);
  const next = await start(true);
  quota.full = false;
  await next.flush();
  await clock.advance(0);
  expect(await held()).toBeUndefined();
});

test("a base that an earlier run held for changes it never sealed is released once they are published", async () => {
  const { start, overlay, clock, pause, held, head } = await world();
  const base = await head();
  pause.error = new SynclineError("paused", "Syncing is paused.");
  const publisher = await start(false);
  overlay.edit(born(10, "mine"));
  await publisher.flush();
  await clock.advance(6 * MINUTE_MS);
  expect(await held()).toEqual([base.commit]);
  const next = await start(false);
  pause.error = undefined;
  expect(await next.flush()).toMatchObject({ again: false });
  await clock.advance(0);
  expect(await held()).toBeUndefined();
});

describe("a paused agent", () => {
  test("protects the base of its changes all the same", async () => {
    const { start, overlay, clock, pause, held, head, elsewhere, gc, other, files } = await world();
    await elsewhere("before");
    const base = await head();
    await overlay.adopt({ ...base, changes: [] });
    const publisher = await start(false);
    pause.error = new SynclineError("paused", "Syncing is paused.");
    overlay.edit(born(10, "mine"));
    await publisher.flush();
    await clock.advance(6 * MINUTE_MS);
    expect(await held()).toEqual([base.commit]);
    for (const file of ["one", "two", "three"]) {
      await clock.advance(8 * DAY_MS);
      await elsewhere(file);
      await elsewhere(`${file} again`);
    }
    expect((await gc()).swaps).toBeGreaterThan(0);
    expect((await other.bucket.commit(base.commit)).body.tree).toBe(base.tree);
    pause.error = undefined;
    expect(await publisher.flush()).toMatchObject({ again: false });
    expect(Object.keys(await files())).toContain("mine");
    expect(overlay.publishedEpochs[0]?.base.changes).toBeDefined();
    await clock.advance(0);
    expect(await held()).toBeUndefined();
  });

  test("that was paused as its flush found nothing to publish sends nothing", async () => {
    const { start, clock, pause, take } = await world();
    const publisher = await start(false);
    await publisher.flush();
    pause.error = new SynclineError("paused", "Syncing is paused.");
    take();
    await clock.advance(DAY_MS);
    expect(take()).toMatchObject({ puts: 0, reads: 0 });
  });
});

test("an agent that starts without the bucket says once that it could not release its base", async () => {
  const said: string[] = [];
  const log = { ...silentLog, info: (message: string) => void said.push(message) };
  const remote = {
    holdBases: vi.fn<() => Promise<void>>(() =>
      Promise.reject(new SynclineError("store_unreachable", "Nobody answers.")),
    ),
  };
  const base = new HeldBase({ remote: remote as unknown as BucketRemote, clock: new ManualClock(), log });
  for (let flush = 0; flush < 3; flush++) base.leave();
  await vi.waitFor(() => expect(remote.holdBases).toHaveBeenCalledTimes(3));
  expect(said).toEqual([expect.stringMatching(/^Could not release the base of changes that are published: /)]);
});

test("an agent without changes that looks at the bucket now and then writes no base", async () => {
  const { start, clock, take } = await world();
  const publisher = await start(false);
  take();
  for (let minute = 0; minute < 60; minute++) {
    await publisher.flush();
    await publisher.rootMoved();
    await clock.advance(MINUTE_MS);
  }
  await clock.advance(DAY_MS);
  expect(take().names).toEqual([]);
});

test("a base is noted again from time to time, so that it stays protected however long changes wait", async () => {
  const { start, overlay, clock, quota, held, head, elsewhere, gc, other, take } = await world();
  await elsewhere("before");
  const base = await head();
  await overlay.adopt({ ...base, changes: [] });
  const publisher = await start(false);
  quota.full = true;
  overlay.edit(born(10, "mine"));
  await publisher.flush();
  await clock.advance(6 * MINUTE_MS);
  take();
  for (let day = 0; day < 200; day++) await clock.advance(DAY_MS);
  // One read and one write a week.
  const { names } = take();
  expect(names.length).toBeGreaterThan(20);
  expect(names.length).toBeLessThan(30);
  for (const file of ["one", "two"]) await elsewhere(file);
  expect((await gc()).swaps).toBeGreaterThan(0);
  expect((await other.bucket.commit(base.commit)).body.tree).toBe(base.tree);
  expect(await held()).toEqual([base.commit]);
});

test("a base is noted again after a sleep or a change of the clock", async () => {
  const { me, take, head } = await world();
  for (const days of [30, -300]) {
    const clock = new ManualClock();
    let leapNs = 0n;
    const leaping = { ...quick(clock), nowNs: () => clock.nowNs() + leapNs };
    using heldBase = new HeldBase({ remote: me.remote, clock: leaping, log: silentLog });
    heldBase.stand([await head()]);
    await clock.advance(6 * MINUTE_MS);
    expect(take().names).toHaveLength(1);
    leapNs = BigInt(days) * 86_400_000_000_000n;
    await clock.advance(2 * 60 * MINUTE_MS);
    expect(take().names).toHaveLength(1);
  }
});

test("a base is noted anew if the agent adopts another root before its changes are sealed", async () => {
  const { me, clock, take, head, held, elsewhere } = await world();
  using heldBase = new HeldBase({ remote: me.remote, clock, log: silentLog });
  heldBase.stand([await head()]);
  await clock.advance(6 * MINUTE_MS);
  await elsewhere("one");
  const base = await head();
  heldBase.stand([base]);
  await clock.advance(6 * MINUTE_MS);
  expect(await held()).toEqual([base.commit]);
  take();
  for (let minute = 0; minute < 600; minute++) {
    heldBase.stand([base]);
    await clock.advance(MINUTE_MS);
  }
  expect(take().names).toEqual([]);
});

test("each of several bases is protected from collections", async () => {
  const { me, clock, head, held, elsewhere, gc, other } = await world();
  using heldBase = new HeldBase({ remote: me.remote, clock, log: silentLog });
  const bases = [];
  await elsewhere("before");
  for (const file of ["one", "two", "three"]) {
    await elsewhere(file);
    bases.push(await head());
    await elsewhere(`${file} again`);
  }
  heldBase.stand(bases);
  await clock.advance(6 * MINUTE_MS);
  expect(await held()).toEqual(bases.map(({ commit }) => commit));
  heldBase.stand(bases.slice(1));
  await clock.advance(6 * MINUTE_MS);
  const gone = bases[0]?.tree;
  for (const file of ["four", "five", "six", "seven"]) {
    await clock.advance(8 * DAY_MS);
    await elsewhere(file);
    await elsewhere(`${file} again`);
  }
  expect((await gc()).swaps).toBeGreaterThan(0);
  const isThere = (cid: Cid) =>
    other.remote.blocks.get(cid).then(
      () => true,
      () => false,
    );
  const left = await Promise.all(bases.map(({ tree }) => isThere(tree)));
  expect(left).toEqual(bases.map(({ tree }) => tree !== gone));
});
