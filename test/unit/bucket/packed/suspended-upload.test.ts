/** Uploads that a store out of reach, a pause, or a restart interrupts: the next attempt goes on with the packs that are stored. */
import { expect, test } from "vitest";
import { SynclineError } from "../../../../src/base/errors.ts";
import { openWriter } from "../../../../src/bucket/writer.ts";
import { type FileSource, sourceOfBytes } from "../../../../src/bucket/writer/file-source.ts";
import { LEASE_FOLDER, PACK_FOLDER } from "../../../../src/format/blocks/object-name.ts";
import type { ObjectStore, PutOutcome } from "../../../../src/objects/object-store.ts";
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
import { countedStore } from "../../../support/counted-store.ts";
import { name } from "../../../support/epochs.ts";

const MIB = 1024 * 1024;
const LARGE = Buffer.concat(Array.from({ length: 72 }, (_, seed) => noise(MIB, seed)));

/** A writer with a large file to publish, over a store of which `cut` says when a pack is lost. */
async function uploading(cut: (pack: number) => boolean) {
  const hours = new Hours();
  const memory = await newStore(hours);
  let packs = 0;
  let isAway = false;
  const away = () => new SynclineError("store_unreachable", "away");
  const store = alteredStore(memory, {
    putNew: async (object, body, options) => {
      if (object.startsWith(PACK_FOLDER) && cut(++packs)) return { kind: "unknown", cause: new Error("cut") };
      return memory.putNew(object, body, options);
    },
    get: async (object) => {
      if (isAway) throw away();
      return memory.get(object);
    },
    putIfMatch: async (object, body, token) => {
      const outcome = await memory.putIfMatch(object, body, token);
      return isAway ? { kind: "unknown", cause: away() } : outcome;
    },
  });
  const { context } = await opened(store, hours);
  const begun = async (epoch: number, file: string, content: Uint8Array | FileSource) => {
    const writer = await openWriter(context, epoch);
    const source = content instanceof Uint8Array ? sourceOfBytes(content) : content;
    await writer.putFile([name(file)], source, { mode: 0o644, uid: 0, gid: 0 });
    return async () => (await writer.publish("")).kind;
  };
  return { hours, memory, publish: await begun(1, "large", LARGE), begun, away: (now: boolean) => void (isAway = now) };
}

async function listed(store: ObjectStore, folder: string): Promise<string[]> {
  const names: string[] = [];
  for await (const info of store.list(folder)) names.push(info.name);
  return names;
}

test("an upload that the store interrupts goes on with the packs that it has stored, and releases its lease", async () => {
  const { hours, memory, publish } = await uploading((pack) => pack === 3 || pack === 5);
  expect(await publish()).toBe("unreachable");
  const first = await listed(memory, PACK_FOLDER);
  expect(first).toHaveLength(2);
  expect(await listed(memory, LEASE_FOLDER)).toHaveLength(1);
  expect(await publish()).toBe("unreachable");
  expect(await publish()).toBe("published");
  expect(await listed(memory, PACK_FOLDER)).toEqual(expect.arrayContaining(first));
  expect(await bytesIn(memory)).toBeLessThan(LARGE.length + MIB);
  expect(await listed(memory, LEASE_FOLDER)).toEqual([]);
  expect(await faultsOf(memory, hours)).toEqual([]);
});

test("an upload that a pause interrupts goes on with the packs that are stored, and releases its lease", async () => {
  const { hours, memory, begun } = await uploading(() => false);
  const whole = sourceOfBytes(LARGE);
  let pausesAt = 40 * MIB;
  const publish = await begun(1, "large", {
    ...whole,
    read: (offset, length) => {
      if (offset < pausesAt) return whole.read(offset, length);
      pausesAt = Infinity;
      throw new SynclineError("paused", "Syncing is paused.");
    },
  });
  await expect(publish()).rejects.toMatchObject({ code: "paused" });
  const first = await listed(memory, PACK_FOLDER);
  expect(first).toHaveLength(2);
  expect(await listed(memory, LEASE_FOLDER)).toHaveLength(1);
  expect(await publish()).toBe("published");
  expect(await listed(memory, PACK_FOLDER)).toEqual(expect.arrayContaining(first));
  expect(await bytesIn(memory)).toBeLessThan(LARGE.length + MIB);
  expect(await listed(memory, LEASE_FOLDER)).toEqual([]);
  expect(await faultsOf(memory, hours)).toEqual([]);
});

test("packs that a collection took meanwhile, once their lease had expired, are sent again", async () => {
  const { hours, memory, publish } = await uploading((pack) => pack === 3);
  expect(await publish()).toBe("unreachable");
  hours.ms += 30 * HOUR_MS;
  await collectIn(memory, hours, EAGER);
  expect(await listed(memory, PACK_FOLDER)).toEqual([]);
  expect(await publish()).toBe("published");
  expect(await faultsOf(memory, hours)).toEqual([]);
  expect((await shown(memory, hours))["large"]).toBe(Buffer.from(LARGE).toString());
});

test("after a swap whose outcome stayed unknown no pack is listed twice", async () => {
  const { hours, memory, publish, begun, away } = await uploading(() => false);
  const before = await memory.get("root");
  const { kind } = await publishedUnknown();
  expect(kind).toBe("unreachable");
  expect((await memory.get("root"))?.token).not.toBe(before?.token);
  expect(await (await begun(2, "next", LARGE.subarray(MIB / 2)))()).toBe("published");
  expect(await faultsOf(memory, hours)).toEqual([]);

  async function publishedUnknown() {
    const putIfMatch = memory.putIfMatch.bind(memory);
    memory.putIfMatch = async (...args) => {
      memory.putIfMatch = putIfMatch;
      away(true);
      return putIfMatch(...args);
    };
    const outcome = await publish();
    away(false);
    return { kind: outcome };
  }
});

test.each([
  ["the lease", "lease/"],
  ["a pack", "pack/"],
  ["the commit object", "commit/"],
])("an upload that waits because of %s says why, and what it waits for", async (_, folder) => {
  const hours = new Hours();
  const memory = await newStore(hours);
  const { store, interceptPut } = countedStore(memory);
  const { context } = await opened(store, hours);
  await using writer = await openWriter(context, 1);
  await writer.putFile([name("large")], sourceOfBytes(LARGE), { mode: 0o644, uid: 0, gid: 0 });
  const busy = async (): Promise<PutOutcome> => ({ kind: "unknown", cause: new Error("503 SlowDown") });
  for (let attempt = 0; attempt < 2; attempt++) interceptPut(folder, busy);
  expect(await writer.publish("")).toMatchObject({
    kind: "unreachable",
    cause: {
      code: "store_unreachable",
      message: expect.stringMatching(/^memory: did not confirm .*: 503 SlowDown\.$/),
      hint: expect.stringContaining("publishes once it answers"),
    },
  });
});

async function bytesIn(store: ObjectStore): Promise<number> {
  let bytes = 0;
  for await (const { size } of store.list("")) bytes += size;
  return bytes;
}
