/** Uploads that a restart interrupts: the next process of the same writer goes on with the packs that are stored. */
import { expect, test } from "vitest";
import { VerifiedReader } from "../../../../src/blocks/verified-reader.ts";
import { Bucket } from "../../../../src/bucket/bucket.ts";
import { PackedRemote } from "../../../../src/bucket/packed/packed-remote.ts";
import { sourceOfBytes } from "../../../../src/bucket/writer/file-source.ts";
import { openWriter } from "../../../../src/bucket/writer.ts";
import { LEASE_FOLDER, PACK_FOLDER } from "../../../../src/format/blocks/object-name.ts";
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
import { name } from "../../../support/epochs.ts";

const MIB = 1024 * 1024;
const PACK = 16 * MIB;
const LARGE = Buffer.concat(Array.from({ length: 72 }, (_, seed) => noise(MIB, seed)));

/** A store, and an upload of a file by a new process of one writer, which may lose the store after some packs. */
async function restarting() {
  const hours = new Hours();
  const memory = await newStore(hours);
  let left = Infinity;
  let sent = 0;
  const line = alteredStore(memory, {
    putNew: async (object, body, options) => {
      if (!object.startsWith(PACK_FOLDER)) return memory.putNew(object, body, options);
      if (--left < 0) return { kind: "unknown", cause: new Error("cut") };
      const chunks: Uint8Array[] = [];
      for await (const chunk of body) chunks.push(chunk);
      sent += chunks.reduce((sum, { length }) => sum + length, 0);
      return memory.putNew(object, chunks, options);
    },
  });
  const { context } = await opened(line, hours);
  const { clock, random } = context;
  let epoch = 0;
  const publish = async (bytes: Uint8Array, { packs = Infinity, store = line }: Upload = {}) => {
    [left, sent] = [packs, 0];
    const remote = new PackedRemote(store, { clock, random, writer: () => context.writer.device.writer });
    const bucket = await Bucket.open(remote, { blocks: new VerifiedReader(remote.blocks) });
    const writer = await openWriter({ ...context, bucket }, ++epoch);
    await writer.putFile([name("large")], sourceOfBytes(bytes), { mode: 0o644, uid: 0, gid: 0 });
    return (await writer.publish("")).kind;
  };
  return { hours, memory, line, publish, sent: () => sent };
}

interface Upload {
  /** How many packs reach the store. */
  readonly packs?: number;
  readonly store?: ObjectStore;
}

async function listed(store: ObjectStore, folder: string): Promise<string[]> {
  const names: string[] = [];
  for await (const info of store.list(folder)) names.push(info.name);
  return names;
}

async function published(store: ObjectStore, hours: Hours, bytes: Buffer): Promise<void> {
  expect(await faultsOf(store, hours)).toEqual([]);
  expect((await shown(store, hours))["large"]).toBe(bytes.toString());
  expect(await listed(store, LEASE_FOLDER)).toEqual([]);
  // A collection that takes everything unneeded must leave what the bucket maps.
  hours.ms += 48 * HOUR_MS;
  await collectIn(store, hours, EAGER);
  expect(await faultsOf(store, hours)).toEqual([]);
}

test("after a restart an upload sends only what is not stored yet", async () => {
  const { hours, memory, publish, sent } = await restarting();
  expect(await publish(LARGE, { packs: 2 })).toBe("unreachable");
  expect(await publish(LARGE, { packs: 1 })).toBe("unreachable");
  const first = await listed(memory, PACK_FOLDER);
  expect(first).toHaveLength(3);
  expect(await publish(LARGE)).toBe("published");
  expect(sent()).toBeLessThan(LARGE.length - 3 * PACK + 2 * MIB);
  expect(await listed(memory, PACK_FOLDER)).toEqual(expect.arrayContaining(first));
  await published(memory, hours, LARGE);
});

test("packs whose bytes the file no longer has are neither listed nor kept leased", async () => {
  const { hours, memory, publish } = await restarting();
  expect(await publish(LARGE, { packs: 3 })).toBe("unreachable");
  const changed = Buffer.concat([LARGE.subarray(0, 40 * MIB), noise(LARGE.length - 40 * MIB, 100)]);
  const old = new Set(await listed(memory, PACK_FOLDER));
  expect(await publish(changed)).toBe("published");
  await collectIn(memory, hours, EAGER);
  expect((await listed(memory, PACK_FOLDER)).filter((pack) => old.has(pack))).toHaveLength(2);
  await published(memory, hours, changed);
});

test("packs that a root lists already are not listed again, even if the swap got no answer", async () => {
  const { hours, memory, publish, line } = await restarting();
  let lease: { readonly name: string; readonly bytes: Uint8Array } | undefined;
  const store = alteredStore(line, {
    putIfMatch: async (...put) => {
      const outcome = await memory.putIfMatch(...put);
      const [name = ""] = await listed(memory, LEASE_FOLDER);
      if (put[0] !== "root" || lease !== undefined) return outcome;
      lease = { name, bytes: (await memory.get(name))?.bytes ?? new Uint8Array() };
      throw new Error("killed");
    },
  });
  await publish(LARGE, { store }).catch(() => undefined);
  // A process that is killed releases nothing.
  expect((await memory.putNew(lease?.name ?? "", [lease?.bytes ?? new Uint8Array()])).kind).toBe("stored");
  const changed = Buffer.concat([noise(32 * MIB, 100), LARGE.subarray(32 * MIB)]);
  expect(await publish(changed)).toBe("published");
  await published(memory, hours, changed);
});

test.each([
  ["before the next process begins", 0],
  ["after another process leased them anew", 1],
])("packs that a collection takes %s are sent again", async (_, attempts) => {
  const { hours, memory, publish } = await restarting();
  for (const packs of [3, ...Array.from({ length: attempts }, () => 0)]) {
    expect(await publish(LARGE, { packs })).toBe("unreachable");
    hours.ms += 30 * HOUR_MS;
  }
  await collectIn(memory, hours, EAGER);
  expect(await listed(memory, PACK_FOLDER)).toEqual([]);
  expect(await publish(LARGE)).toBe("published");
  await published(memory, hours, LARGE);
});

test("a damaged lease or pack is not used, nor are packs in a store that a power failure may damage", async () => {
  const { hours, memory, publish, line, sent } = await restarting();
  expect(await publish(LARGE, { packs: 1 })).toBe("unreachable");
  const [lease = ""] = await listed(memory, LEASE_FOLDER);
  const stored = await memory.get(lease);
  await memory.putIfMatch(lease, [noise(100, 1)], stored?.token ?? "");
  expect(await publish(LARGE, { packs: 1 })).toBe("unreachable");
  const [, pack = ""] = await listed(memory, PACK_FOLDER);
  await memory.delete(pack);
  await memory.putNew(pack, [noise(PACK, 1)]);
  expect(await publish(LARGE, { packs: 1 })).toBe("unreachable");
  expect(sent()).toBeGreaterThan(PACK - MIB);
  const plain = alteredStore(line, { keepsPuts: false });
  expect(await publish(LARGE, { store: plain })).toBe("published");
  expect(sent()).toBeGreaterThan(4 * PACK - MIB);
  await published(memory, hours, LARGE);
});
