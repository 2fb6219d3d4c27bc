/** What a collection takes for the time where clocks are wrong, and what it does about leases and bases that it cannot read. */
import { describe, expect, test } from "vitest";
import { SynclineError } from "../../../../src/base/errors.ts";
import { log } from "../../../../src/bucket/history.ts";
import { cidOf } from "../../../../src/format/blocks/cid.ts";
import { DEFAULT_RETENTION, LEAST_ALL_S } from "../../../../src/format/commits/retention.ts";
import type { MemoryObjectStore } from "../../../../src/objects/memory-object-store.ts";
import type { ObjectStore } from "../../../../src/objects/object-store.ts";
import { alteredStore } from "../../../support/altered-store.ts";
import { noise } from "../../../support/bytes.ts";
import {
  collectIn,
  EAGER,
  faultsOf,
  HOUR_MS,
  Hours,
  newStore,
  opened,
  shown,
} from "../../../support/collected-store.ts";

const MINUTE_MS = HOUR_MS / 60;
const DAY_MS = 24 * HOUR_MS;
const YEAR_MS = 365 * DAY_MS;

/** Three days of somebody who saves every few hours. */
async function threeDays(hours: Hours, dates = hours) {
  const store = await newStore(hours, dates);
  const agent = await opened(store, hours);
  for (let save = 0; save < 12; save++) {
    await agent.put("changing", noise(3_000, save));
    hours.ms += 6 * HOUR_MS;
  }
  return { store, agent };
}

/** From how many hours before this time roots are retained. */
async function hoursOf(store: ObjectStore, hours: Hours, beforeMs = Infinity): Promise<number> {
  const { bucket } = await opened(store, hours);
  const retained = new Set<number>();
  for await (const { body } of log(bucket, (await bucket.head()).commit)) {
    const ms = Number(body.timeNs / 1_000_000n);
    if (ms < beforeMs) retained.add(Math.floor(ms / HOUR_MS));
  }
  return retained.size;
}

describe("a machine whose clock is a year ahead", () => {
  test("thins no history if the store has correct dates of its own, however long it runs", async () => {
    const hours = new Hours();
    const { store } = await threeDays(hours);
    const end = hours.ms;
    const before = await hoursOf(store, hours, end);
    const ahead = new Hours(hours.ms + YEAR_MS);
    const wrong = await opened(store, ahead);
    for (let save = 0; save < 10; save++) {
      expect(await wrong.put("theirs", noise(3_000, 100 + save))).toBe("published");
      for (const each of [hours, ahead]) each.ms += 4 * HOUR_MS;
      await collectIn(store, ahead, EAGER);
    }
    expect(await hoursOf(store, hours, end)).toBe(before);
    expect(await faultsOf(store, hours)).toEqual([]);
  });

  test("thins no history if the store shares the wrong date, as long as others publish", async () => {
    const hours = new Hours();
    const dates = new Hours();
    const { store, agent } = await threeDays(hours, dates);
    const end = hours.ms;
    const before = await hoursOf(store, hours, end);
    const ahead = new Hours(hours.ms + YEAR_MS);
    dates.ms = ahead.ms;
    const wrong = await opened(store, ahead);
    for (let save = 0; save < 10; save++) {
      await wrong.put("theirs", noise(3_000, 100 + save));
      await collectIn(store, ahead, EAGER);
      for (const each of [hours, ahead, dates]) each.ms += 4 * HOUR_MS;
      await agent.put("changing", noise(3_000, 200 + save));
    }
    expect(await hoursOf(store, hours, end)).toBe(before);
    expect(await faultsOf(store, hours)).toEqual([]);
  });

  test("is believed after a day without contradiction, so a bucket left idle is thinned again", async () => {
    const hours = new Hours();
    const { store, agent } = await threeDays(hours);
    const end = hours.ms;
    const before = await hoursOf(store, hours, end);
    hours.ms += YEAR_MS;
    for (let save = 0; save < 2; save++) {
      await agent.put("changing", noise(3_000, 100 + save));
      await collectIn(store, hours, EAGER);
      expect(await hoursOf(store, hours, end)).toBe(before);
      hours.ms += 20 * HOUR_MS;
    }
    for (let save = 0; save < 4; save++) {
      await agent.put("changing", noise(3_000, 200 + save));
      hours.ms += HOUR_MS;
    }
    await collectIn(store, hours, EAGER);
    expect(await hoursOf(store, hours, end)).toBe(0);
    expect(await faultsOf(store, hours)).toEqual([]);
  });

  test("collects neither what an upload has leased nor a held base", async () => {
    const hours = new Hours();
    const { store, agent } = await threeDays(hours);
    const { root } = await agent.bucket.head();
    await agent.remote.holdBases([root]);
    const upload = agent.remote.beginUpload();
    for (let index = 0; index < 20; index++) await upload.putContent(chunk(noise(1024 * 1024, index)));
    await upload.prepare(root, { commit: chunk(noise(10, 2)), blocks: [] }).catch(() => {});
    const before = await listed(store, /^(pack|lease|bases)/);
    const ahead = new Hours(hours.ms + YEAR_MS);
    await collectIn(store, ahead, EAGER);
    expect(await listed(store, /^(pack|lease|bases)/)).toEqual(expect.arrayContaining(before));
  });
});

describe("a bucket's own retention", () => {
  test("is obeyed as the newest root states it, by a collection and a dry run", async () => {
    const hours = new Hours();
    const { store, agent } = await threeDays(hours);
    const before = await hoursOf(store, hours);
    const all = { ...DEFAULT_RETENTION, all: 4 * 86_400 };
    expect(await agent.retain(all)).toBe("published");
    const kept = await collectIn(store, hours, EAGER);
    expect(kept.retention).toEqual(all);
    expect(kept.commits.after).toBe(kept.commits.before);
    expect(await hoursOf(store, hours)).toBeGreaterThanOrEqual(before);
    const nothingOld = { all: LEAST_ALL_S, minutes: 0, hours: 0, days: 0 };
    hours.ms += HOUR_MS;
    expect(await agent.retain(nothingOld)).toBe("published");
    const dry = await collectIn(store, hours, { ...EAGER, dryRun: true });
    expect(dry).toMatchObject({ retention: nothingOld, commits: { after: 2 } });
    expect((await collectIn(store, hours, EAGER)).commits).toEqual(dry.commits);
    expect(await faultsOf(store, hours)).toEqual([]);
  });

  test("without minutes, hours and days retains the root that the newest one replaced, for as long as young ones", async () => {
    const hours = new Hours();
    const store = await newStore(hours);
    const agent = await opened(store, hours);
    await agent.retain({ all: LEAST_ALL_S, minutes: 0, hours: 0, days: 0 });
    const { commit: stoodOn } = await agent.bucket.head();
    const isRetained = async () => {
      for await (const { cid } of log(agent.bucket, (await agent.bucket.head()).commit))
        if (cid === stoodOn.cid) return true;
      return false;
    };
    hours.ms += 16 * MINUTE_MS;
    await agent.put("changing", noise(3_000, 1));
    hours.ms += MINUTE_MS / 6;
    await collectIn(store, hours, EAGER);
    expect(await isRetained()).toBe(true);
    hours.ms += 15 * MINUTE_MS;
    await agent.put("changing", noise(3_000, 2));
    await collectIn(store, hours, EAGER);
    expect(await isRetained()).toBe(false);
    expect(await faultsOf(store, hours)).toEqual([]);
  });

  test("defines the ages by which a collection reports the space of older roots", async () => {
    const hours = new Hours();
    const { store, agent } = await threeDays(hours);
    await agent.retain({ all: 2 * 86_400, minutes: 2 * 86_400, hours: 0, days: 86_400 });
    const { held } = await collectIn(store, hours, { ...EAGER, dryRun: true });
    // The oldest root is made earlier, and was replaced within two days.
    expect(held?.older.map(({ withinMs }) => withinMs)).toEqual([DAY_MS, 2 * DAY_MS, null]);
  });

  test("set while a collection is planned applies to that collection", async () => {
    const hours = new Hours();
    const { store, agent } = await threeDays(hours);
    const before = await hoursOf(store, hours);
    const outcomes: string[] = [];
    const racing = alteredStore(store, {
      putNew: async (name, body) => {
        if (outcomes.length === 0 && name.startsWith("pack/"))
          outcomes.push(await agent.retain({ ...DEFAULT_RETENTION, all: 4 * 86_400 }));
        return store.putNew(name, body);
      },
    });
    const { commits } = await collectIn(racing, hours, EAGER);
    expect(outcomes).toEqual(["published"]);
    expect(commits.after).toBe(commits.before);
    expect(await hoursOf(store, hours)).toBeGreaterThanOrEqual(before);
    expect(await faultsOf(store, hours)).toEqual([]);
  });
});

const SOMEBODY = "cd".repeat(16);

describe("an unreadable lease", () => {
  test("holds back collections for a day, and the error names it", async () => {
    const hours = new Hours();
    const { store } = await aged(hours);
    await store.putNew(`lease/${SOMEBODY}`, [Buffer.from("nonsense")]);
    const before = await listed(store);
    hours.ms += 23 * HOUR_MS;
    const held = { code: "store_corrupt", message: expect.stringContaining(`lease/${SOMEBODY}`) };
    await expect(collectIn(store, hours, EAGER)).rejects.toMatchObject(held);
    expect(await listed(store)).toEqual(before);
  });

  test("is skipped and reported after a day, and removed in the end", async () => {
    const hours = new Hours();
    const { store } = await aged(hours);
    const before = await shown(store, hours);
    await store.putNew(`lease/${SOMEBODY}`, [Buffer.from("nonsense")]);
    hours.ms += 25 * HOUR_MS;
    const { dropped, passedOver } = await collectIn(store, hours, EAGER);
    expect(dropped).toBeGreaterThan(0);
    expect(passedOver).toEqual([{ object: `lease/${SOMEBODY}`, what: expect.stringContaining("cannot be read") }]);
    expect(await shown(store, hours)).toEqual(before);
    hours.ms += DAY_MS;
    await collectIn(store, hours, EAGER);
    expect(await listed(store, /^lease/)).toEqual([]);
  });

  test("is skipped too if the disk cannot read it, but not if the store is unreachable", async () => {
    const hours = new Hours();
    const { store } = await aged(hours);
    await store.putNew(`lease/${SOMEBODY}`, [Buffer.from("nonsense")]);
    hours.ms += 25 * HOUR_MS;
    const failing = (code: "store_failed" | "store_unreachable") => {
      const get: ObjectStore["get"] = async (name) => {
        if (name.startsWith("lease/")) throw new SynclineError(code, "no bytes");
        return store.get(name);
      };
      return alteredStore(store, { get });
    };
    const away = collectIn(failing("store_unreachable"), hours, EAGER);
    await expect(away).rejects.toMatchObject({ code: "store_unreachable" });
    expect((await collectIn(failing("store_failed"), hours, { ...EAGER, dryRun: true })).passedOver).toHaveLength(1);
  });
});

describe("an unreadable base", () => {
  test("keeps the whole history for 90 days, but lets everything else be collected", async () => {
    const hours = new Hours();
    const { store } = await aged(hours);
    const before = await hoursOf(store, hours);
    const left = `pack/${SOMEBODY}`;
    await store.putNew(left, [noise(100, 1)]);
    await store.putNew(`bases/${SOMEBODY}`, [Buffer.from("nonsense")]);
    hours.ms += 89 * DAY_MS;
    const held = await collectIn(store, hours, EAGER);
    expect(await hoursOf(store, hours)).toBe(before);
    expect(held.passedOver).toEqual([{ object: `bases/${SOMEBODY}`, what: expect.stringContaining("cannot be read") }]);
    expect(await listed(store)).not.toContain(left);
    hours.ms += 2 * DAY_MS;
    const { commits, passedOver } = await collectIn(store, hours, EAGER);
    expect(commits.after).toBeLessThan(commits.before);
    expect(await hoursOf(store, hours)).toBeLessThan(before);
    expect(passedOver).toHaveLength(1);
    expect(await faultsOf(store, hours)).toEqual([expect.stringContaining(`bases/${SOMEBODY}`)]);
  });
});

test("a collection deletes nothing that is not its own, however old", async () => {
  const hours = new Hours();
  const { store } = await aged(hours);
  const foreign = ["bases/letter.odt", "lease/letter.odt", "run/letter.odt"];
  for (const name of foreign) await store.putNew(name, [Buffer.from("Dear Sir")]);
  hours.ms += 200 * DAY_MS;
  for (let collection = 0; collection < 2; collection++) await collectIn(store, hours, EAGER);
  expect(await listed(store, /letter/)).toEqual(foreign);
});

/** A bucket with history behind it that may go. */
async function aged(hours: Hours) {
  const store = await newStore(hours);
  const agent = await opened(store, hours);
  for (let round = 0; round < 5; round++) {
    await agent.put("changing", noise(3_000, round));
    await agent.put(`stays-${round}`, noise(2_000, 100 + round));
    hours.ms += 40 * DAY_MS;
  }
  return { store, agent };
}

function chunk(bytes: Uint8Array) {
  return { cid: cidOf("raw", bytes), bytes };
}

async function listed(store: MemoryObjectStore, which = /./): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of store.list("")) if (which.test(name)) names.push(name);
  return names.sort();
}
