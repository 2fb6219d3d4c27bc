/** Packs that are nearly all footer, listed by somebody with access to the store: they cost time, but no memory. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, test, vi } from "vitest";
import type { WriterId } from "../../../../src/base/ids.ts";
import { FOOTER_CACHE_BYTES } from "../../../../src/base/limits.ts";
import { PackDirectory } from "../../../../src/bucket/packed/pack-directory.ts";
import { PackedRemote } from "../../../../src/bucket/packed/packed-remote.ts";
import { cidFromDigest } from "../../../../src/format/blocks/cid.ts";
import { PACK_ROW_BYTES } from "../../../../src/format/blocks/pack.ts";
import { MemoryObjectStore } from "../../../../src/objects/memory-object-store.ts";
import type { ObjectStore } from "../../../../src/objects/object-store.ts";
import { seededRandom } from "../../../../src/simulate/seeded-random.ts";
import { forgedRows, withForgedPacks } from "../../../support/forged-packs.ts";
import { ManualClock } from "../../../support/manual-clock.ts";
import { made, publish, raw, rootOf } from "../../../support/opaque-commits.ts";

const MiB = 1024 * 1024;
const WRITER = "ab".repeat(16) as WriterId;

function agent(store: ObjectStore): PackedRemote {
  return new PackedRemote(store, { clock: new ManualClock(), random: seededRandom(7), writer: () => WRITER });
}

/** A bucket with one content block, and packs with so many rows each. */
async function forged(rows: readonly number[]) {
  const store = new MemoryObjectStore();
  const remote = await made(async () => agent(store));
  await publish(remote, "two", [raw("real")], []);
  return withForgedPacks(store, rows);
}

const rowsOf = (footerBytes: number) => Math.floor(footerBytes / PACK_ROW_BYTES);

test("a publication that searches many of them keeps no more footers than the cache may hold", async () => {
  const store = await forged(Array.from({ length: 16 }, () => rowsOf(8 * MiB)));
  const remote = agent(store);
  await publish(remote, "three", [raw("new")], []);
  await vi.waitFor(() => expect(heldBytes()).toBeLessThan(FOOTER_CACHE_BYTES + 32 * MiB), 10_000);
  expect(Buffer.from(await remote.blocks.get(raw("real").cid)).toString()).toBe("real");
});

test("a run is made of those that fit into memory; the largest stay loose, and every block is found", async () => {
  const large = rowsOf(30 * MiB);
  const store = await forged([large, ...Array.from({ length: 60 }, (_, index) => index + 1), large, large]);
  const remote = agent(store);
  await publish(remote, "three", [raw("new")], []);
  const { manifest } = await new PackDirectory(store).commitObject((await rootOf(remote)).commit);
  expect(manifest.loose.map(({ rows }) => rows)).toEqual([large]);
  expect(manifest.runs.map(({ rows }) => rows)).toEqual([large + 3]);
  const [first, last] = [0, large - 1].map((row) => cidFromDigest("raw", forgedRows(large)[row]?.digest ?? WRONG));
  for (const cid of [first, last, raw("real").cid, raw("new").cid])
    expect(cid && (await remote.blocks.get(cid)).length).toBeGreaterThan(0);
}, 600_000);

const WRONG = new Uint8Array(32);

/** Bytes of buffers that are alive. */
function heldBytes(): number {
  setFlagsFromString("--expose-gc");
  (runInNewContext("gc") as () => void)();
  return process.memoryUsage().arrayBuffers;
}
