/** Rebuilding a lost manifest: which packs it maps, and what collections left behind. */
import { describe, expect, test } from "vitest";
import type { Cid, PackName } from "../../../../src/base/ids.ts";
import { repairObjects } from "../../../../src/bucket/packed/object-repair.ts";
import { PackDirectory } from "../../../../src/bucket/packed/pack-directory.ts";
import { verifyBucket } from "../../../../src/bucket/verify.ts";
import { cidFromDigest } from "../../../../src/format/blocks/cid.ts";
import { EMPTY_MANIFEST, encodeManifest, type Manifest } from "../../../../src/format/blocks/manifest.ts";
import { commitObjectName, parsePackName } from "../../../../src/format/blocks/object-name.ts";
import { encodeFooter, footerOffset } from "../../../../src/format/blocks/pack.ts";
import type { MemoryObjectStore } from "../../../../src/objects/memory-object-store.ts";
import type { ObjectStore } from "../../../../src/objects/object-store.ts";
import { buildPack } from "../../../../src/packs/pack-builder.ts";
import { readFooter } from "../../../../src/packs/pack-footer.ts";
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
import { mortalStore } from "../../../support/mortal-store.ts";
import { seededStream } from "../../../support/test-bucket.ts";

const OLD = noise(200_000, 1);

/** A bucket in which only an expired root has OLD. */
async function expired(hours: Hours, garbage = 10) {
  const store = await newStore(hours);
  const other = await opened(store, hours);
  // With the device's certificate.
  await other.put("first", noise(10, 9));
  for (const [index, bytes] of [OLD, noise(garbage, 2), noise(garbage, 3), noise(10, 4)].entries()) {
    await other.put("file", bytes);
    await other.put(`other-${index}`, noise(500, 10 + index));
    hours.ms += 100 * 24 * HOUR_MS;
  }
  return { store, other };
}

/** Repairs as the command does: what a verification misses is wanted. */
async function repaired(store: ObjectStore, hours: Hours) {
  const { remote, bucket } = await opened(store, hours);
  const { lost } = await verifyBucket(bucket, { blocks: remote.blocks });
  return repairObjects((await opened(store, hours)).remote, { random: seededStream(5), wanted: lost });
}

async function newestObject(store: ObjectStore, hours: Hours) {
  const { bucket } = await opened(store, hours);
  const { cid } = (await bucket.head()).commit;
  return { name: commitObjectName(cid), object: await new PackDirectory(store).commitObject(cid) };
}

/** One wrong bit in the newest manifest; no file's bytes are hurt. */
async function damageManifest(store: MemoryObjectStore, hours: Hours): Promise<void> {
  const { name } = await newestObject(store, hours);
  const { bytes, token } = (await store.get(name)) ?? { bytes: new Uint8Array(), token: "" };
  const at = bytes.length - 60;
  await store.putIfMatch(name, [bytes.with(at, (bytes[at] ?? 0) ^ 1)], token);
}

async function replaceManifest(store: MemoryObjectStore, hours: Hours, change: (manifest: Manifest) => Manifest) {
  const { name, object } = await newestObject(store, hours);
  const { bytes, token } = (await store.get(name)) ?? { bytes: new Uint8Array(), token: "" };
  const { bytes: end } = encodeFooter([...object.footer], encodeManifest(change(object.manifest)));
  await store.putIfMatch(name, [bytes.subarray(0, footerOffset(object.pack)), end], token);
}

/** The packs that hold the beginning of OLD. */
async function holdersOfOld(store: MemoryObjectStore): Promise<PackName[]> {
  const names: PackName[] = [];
  for await (const { name } of store.list("")) {
    const pack = parsePackName(name);
    if (
      pack !== undefined &&
      Buffer.from((await store.get(name))?.bytes ?? []).includes(Buffer.from(OLD.subarray(0, 400)))
    )
      names.push(pack);
  }
  return names;
}

/** Copies what these packs hold into two more: pieces of files, and all else. */
async function copiedApart(store: MemoryObjectStore, packs: readonly PackName[]): Promise<[PackName, PackName]> {
  const blocks = new Map<Cid, Uint8Array>();
  for (const pack of packs) {
    const { bytes } = (await store.get(pack)) ?? { bytes: new Uint8Array() };
    const { footer } = await readFooter((length) => store.getTail(pack, length));
    for (const { digest, offset, length } of footer)
      blocks.set(cidFromDigest("raw", digest), bytes.subarray(offset, offset + length));
  }
  const put = async (digit: number, isOf: (bytes: Uint8Array) => boolean): Promise<PackName> => {
    const name = `pack/${"0".repeat(31)}${digit}` as PackName;
    const held = [...blocks].flatMap(([cid, bytes]) => (isOf(bytes) ? [{ cid, bytes }] : []));
    await store.putNew(name, buildPack(name, held).body);
    return name;
  };
  const isPiece = ({ length }: Uint8Array) => length > 10_000;
  return [await put(0, isPiece), await put(1, (bytes) => !isPiece(bytes))];
}

describe("a repair of the newest manifest", () => {
  test.each([
    ["gives up", 10],
    ["succeeds on the new root", 400_000],
  ])("does not believe the commit of a collector that lost its swap and then %s", async (_, garbage) => {
    const hours = new Hours();
    const { store: memory, other } = await expired(hours, garbage);
    const { store, interceptPut } = countedStore(memory);
    interceptPut("commit/", async (put) => {
      expect(await other.put("back", OLD)).toBe("published");
      return put();
    });
    await collectIn(store, hours);
    const before = await shown(memory, hours);
    expect(before["back"]).toBe(Buffer.from(OLD).toString());

    await damageManifest(memory, hours);
    expect((await repaired(memory, hours)).damage).toEqual([]);
    expect(await faultsOf(memory, hours)).toEqual([]);
    await collectIn(memory, hours, EAGER);
    expect(await faultsOf(memory, hours)).toEqual([]);
    expect(await shown(memory, hours)).toEqual(before);
  });

  test("does not believe a collector that died before its swap", async () => {
    const hours = new Hours();
    const { store, other } = await expired(hours);
    for (let step = 0; step < 4; step++) {
      await collectIn(mortalStore(store, step, true).store, hours, EAGER).catch(() => {});
      hours.ms += 1_000;
    }
    await other.put("back", OLD);
    const before = await shown(store, hours);

    await damageManifest(store, hours);
    expect((await repaired(store, hours)).damage).toEqual([]);
    await collectIn(store, hours, EAGER);
    expect(await faultsOf(store, hours)).toEqual([]);
    expect(await shown(store, hours)).toEqual(before);
  });

  test("makes uploads that began before it check their packs again", async () => {
    const hours = new Hours();
    const { store } = await expired(hours);
    await collectIn(store, hours, EAGER);
    const { gcEpoch } = (await newestObject(store, hours)).object.manifest;
    await damageManifest(store, hours);
    await repaired(store, hours);
    const { manifest } = (await newestObject(store, hours)).object;
    expect(manifest.gcEpoch).toBeGreaterThan(gcEpoch);
    expect(manifest.dropping).toEqual([]);
  });

  test("goes on where an earlier one was killed after it had put an empty manifest in its place", async () => {
    const hours = new Hours();
    const { store, other } = await expired(hours);
    await other.put("back", OLD);
    const before = await shown(store, hours);
    const { gcEpoch } = (await newestObject(store, hours)).object.manifest;
    await replaceManifest(store, hours, () => EMPTY_MANIFEST);
    expect(await faultsOf(store, hours)).not.toEqual([]);

    expect((await repaired(store, hours)).damage).toEqual([]);
    expect(await faultsOf(store, hours)).toEqual([]);
    expect(await shown(store, hours)).toEqual(before);
    expect((await newestObject(store, hours)).object.manifest.gcEpoch).toBeGreaterThan(gcEpoch);
  });
});

describe("a pack that is listed as dropping, but that the bucket needs again", () => {
  async function needed() {
    const hours = new Hours();
    const { store, other } = await expired(hours);
    await other.put("back", OLD);
    const before = await shown(store, hours);
    const holders = await holdersOfOld(store);
    await replaceManifest(store, hours, (manifest) => ({
      ...manifest,
      loose: manifest.loose.filter(({ name }) => !holders.includes(name)),
      dropping: holders.toSorted(),
    }));
    expect(holders.length).toBeGreaterThan(0);
    expect(await faultsOf(store, hours)).not.toEqual([]);
    return { hours, store, before, holders };
  }

  test("is not deleted by a collection", async () => {
    const { hours, store, holders } = await needed();
    await expect(collectIn(store, hours, EAGER)).rejects.toMatchObject({ code: "block_not_found" });
    expect(await holdersOfOld(store)).toEqual(holders);
  });

  test("is mapped again by a repair", async () => {
    const { hours, store, before } = await needed();
    expect((await repaired(store, hours)).damage).toEqual([]);
    expect(await faultsOf(store, hours)).toEqual([]);
    await collectIn(store, hours, EAGER);
    expect(await faultsOf(store, hours)).toEqual([]);
    expect(await shown(store, hours)).toEqual(before);
  });

  test("is not deleted by a collection if its copy is mapped, but gone", async () => {
    const { hours, store, holders } = await needed();
    const [pieces] = await copiedApart(store, holders);
    await repaired(store, hours);
    expect(await faultsOf(store, hours)).toEqual([]);
    expect((await newestObject(store, hours)).object.manifest.dropping).toEqual(holders);
    await store.delete(pieces);
    await expect(collectIn(store, hours, EAGER)).rejects.toMatchObject({ code: "object_not_found" });
    expect(await holdersOfOld(store)).toEqual(holders);
  });
});
