/** What a cache makes of a log that others change. */
import { join } from "node:path";
import { expect, test } from "vitest";
import { type LogEntry, PACK_STATES, type PackLog } from "../../../../src/arbiter/arbiter.ts";
import { nextTurn } from "../../../../src/base/concurrency.ts";
import { SynclineError } from "../../../../src/base/errors.ts";
import type { PackName, Wallet } from "../../../../src/base/ids.ts";
import { silentLog } from "../../../../src/base/log.ts";
import { LogFollower } from "../../../../src/master/shared/log-follower.ts";
import { PackCache } from "../../../../src/master/shared/pack-cache.ts";
import { objectOf } from "../../../../src/master/shared/pack-objects.ts";
import { type Databases, systemDatabases } from "../../../../src/objects/databases.ts";
import { MemoryObjectStore } from "../../../../src/objects/memory-object-store.ts";
import { buildPack } from "../../../../src/packs/pack-builder.ts";
import { alteredStore } from "../../../support/altered-store.ts";
import { noise } from "../../../support/bytes.ts";
import { ManualClock } from "../../../support/manual-clock.ts";
import { raw } from "../../../support/opaque-commits.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";

test("a pack whose footer the store cannot read hides no other", async () => {
  const cache = PackCache.open(join(await temporaryFolder(), "cache"), systemDatabases);
  const store = new MemoryObjectStore();
  const built = ["lost", "found"].map((content, at) =>
    buildPack(objectOf(String(at).repeat(32)) as PackName, [raw(content)]),
  );
  for (const { pack, body } of built) await store.putNew(pack.name, body);
  const entries = built.map(({ pack }, at): LogEntry => {
    const times = { createdMs: 1, changedMs: 1 };
    return { pack: String(at).repeat(32), bytes: pack.size, rows: 1, state: PACK_STATES.live, position: 1, ...times };
  });
  const packs = { after: async () => ({ era: 1, entries, more: false, nowMs: 3, position: 1 }) };
  const follower = new LogFollower({
    owner: `0x${"11".repeat(20)}` as Wallet,
    arbiter: { packs: packs as unknown as PackLog },
    objects: alteredStore(store, {
      getTail: async (name, length) => {
        if (name === built[0]?.pack.name) throw new SynclineError("block_corrupt", "a bad sector");
        return store.getTail(name, length);
      },
    }),
    clock: new ManualClock(),
    log: silentLog,
    cache: () => cache,
    onWentBack: async () => {},
  });
  await follower.refresh();
  expect(built.map(({ footer }) => cache.find(footer.row(0).digest)?.isLive)).toEqual([undefined, true]);
  cache.close();
});

test("a condemned pack stays so though its writer enters it while its footer is read", async () => {
  const cache = PackCache.open(join(await temporaryFolder(), "cache"), systemDatabases);
  const pack = "0".repeat(32);
  const built = buildPack(objectOf(pack) as PackName, [raw("block")]);
  const store = new MemoryObjectStore();
  await store.putNew(objectOf(pack), built.body);
  const entered = { pack, bytes: built.pack.size, createdMs: 1 };
  const entry: LogEntry = { ...entered, rows: 1, state: PACK_STATES.condemned, position: 2, changedMs: 2 };
  const packs = { after: async () => ({ era: 1, entries: [entry], more: false, nowMs: 3, position: 2 }) };
  const follower: LogFollower = new LogFollower({
    owner: `0x${"11".repeat(20)}` as Wallet,
    arbiter: { packs: packs as unknown as PackLog },
    objects: alteredStore(store, {
      getTail: async (...where) => {
        follower.entered(entered, built.footer);
        return store.getTail(...where);
      },
    }),
    clock: new ManualClock(),
    log: silentLog,
    cache: () => cache,
    onWentBack: async () => {},
  });
  await follower.refresh();
  expect(cache.pack(pack)).toMatchObject({ state: PACK_STATES.condemned });
  expect(cache.find(built.footer.row(0).digest)).toMatchObject({ isLive: false });
  cache.close();
});

test("a new cache follows a log of packs that were given up in few transactions, with turns for others between", async () => {
  const counts = { prepared: 0, transactions: 0, turns: 0 };
  const open: Databases["open"] = (...at) => {
    const db = systemDatabases.open(...at);
    const { prepare, transaction } = db;
    return Object.assign(db, {
      prepare: (sql: string) => (counts.prepared++, prepare.call(db, sql)),
      transaction: (work: () => void) => (counts.transactions++, transaction.call(db, work)),
    });
  };
  const cache = PackCache.open(join(await temporaryFolder(), "cache"), { ...systemDatabases, open });
  const kept = { pack: PACK, bytes: 10, createdMs: 1 };
  cache.add({ ...kept, state: PACK_STATES.live }, [{ digest: noise(32, 1), offset: 0, length: 9, codec: 0 }]);
  const entries = Array.from({ length: 20_000 }, (_, at): LogEntry => {
    const pack = at.toString(16).padStart(32, "0");
    return { ...kept, pack, rows: 10, state: PACK_STATES.gone, position: 1 + at, changedMs: 1 };
  });
  const packs = { after: async () => ({ era: 1, entries, more: false, nowMs: 3, position: entries.length }) };
  const follower = new LogFollower({
    owner: `0x${"11".repeat(20)}` as Wallet,
    arbiter: { packs: packs as unknown as PackLog },
    objects: new MemoryObjectStore(),
    clock: new ManualClock(),
    log: silentLog,
    cache: () => cache,
    onWentBack: async () => {},
  });
  const over = new AbortController();
  const counting = (async () => {
    for (; !over.signal.aborted; counts.turns++) await nextTurn();
  })();
  await follower.refresh();
  over.abort();
  await counting;
  expect(counts.prepared).toBeLessThan(30);
  expect(counts.transactions).toBeLessThan(500);
  expect(counts.turns).toBeGreaterThan(100);
  expect([cache.position, cache.packs()]).toEqual([entries.length, []]);
  cache.close();
});

/** A follower of a log with one pack, whose footer is read by `footer`. Counts the errors that it logs. */
async function following(footer: (follower: LogFollower) => Promise<never>) {
  const cache = PackCache.open(join(await temporaryFolder(), "cache"), systemDatabases);
  const clock = new ManualClock();
  const times = { createdMs: 1, changedMs: 1 };
  const entry: LogEntry = { pack: PACK, bytes: 10, rows: 1, state: PACK_STATES.live, position: 1, ...times };
  const after = async (_: Wallet, from: number) => {
    return { era: 1, entries: from === 0 ? [entry] : [], more: false, nowMs: 3, position: 1 };
  };
  const counts = { errors: 0, footers: 0 };
  const follower: LogFollower = new LogFollower({
    owner: `0x${"11".repeat(20)}` as Wallet,
    arbiter: { packs: { after } as unknown as PackLog },
    objects: alteredStore(new MemoryObjectStore(), {
      getTail: async () => {
        counts.footers++;
        return footer(follower);
      },
    }),
    clock,
    log: { ...silentLog, error: () => void counts.errors++ },
    cache: () => cache,
    onWentBack: async () => {},
  });
  return { cache, clock, follower, counts };
}

const PACK = "0".repeat(32);
const lost = async () => {
  throw new SynclineError("object_not_found", "no such object");
};

test("a pack that stays lost is tried again, and reported once", async () => {
  const { clock, follower, counts } = await following(lost);
  for (let minute = 0; minute < 10; minute++) {
    await follower.refreshAll();
    await clock.advance(61_000);
  }
  expect(counts).toEqual({ errors: 1, footers: 10 });
});

test("a footer that hangs as it is tried again holds up no reading of the log", async () => {
  let isFirst = true;
  const { clock, follower } = await following(async () => {
    if (!isFirst) return new Promise<never>(() => {});
    isFirst = false;
    return lost();
  });
  await follower.refresh();
  await clock.advance(61_000);
  await follower.refresh();
  await clock.advance(61_000);
  await follower.refresh();
  expect(follower.ageMs).toBe(0);
});

test("a pack that its writer enters while its footer cannot be read is not tried again", async () => {
  const { cache, clock, follower, counts } = await following(async (entering) => {
    entering.entered({ pack: PACK, bytes: 10, createdMs: 1 }, []);
    return lost();
  });
  await follower.refreshAll();
  await clock.advance(61_000);
  await follower.refreshAll();
  expect(counts.footers).toBe(1);
  expect(cache.isUnread(PACK)).toBe(false);
});
