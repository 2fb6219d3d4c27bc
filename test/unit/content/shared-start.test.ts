/** Which bytes two contents have alike from the start on, as their chunk lists tell. */
import { expect, test } from "vitest";
import { ChunkCache } from "../../../src/content/chunk-cache.ts";
import { createContentConfig } from "../../../src/content/config.ts";
import { loading } from "../../../src/content/source.ts";
import { sharedStart } from "../../../src/content/shared-start.ts";
import { DEFAULT_CHUNKER } from "../../../src/format/files/chunker.ts";
import { writeBytes } from "../../../src/content/write.ts";
import { BlockMap } from "../../support/block-map.ts";
import { noise } from "../../support/bytes.ts";

const KiB = 1024;
/** Small chunks, so that lists have several levels. */
const config = createContentConfig({
  chunker: {
    ...DEFAULT_CHUNKER,
    averages: [{ above: 0, average: KiB }],
    minHole: 2_000,
    list: { min: 2, mean: 6, max: 20 },
  },
});
const OLD = noise(3_000 * KiB);

test.each([
  ["a little", 10],
  ["more than it had", 4_000 * KiB],
])("what is appended leaves nearly all the same: %s", async (_, added) => {
  const shared = await sharedBy(Buffer.concat([OLD, noise(added)]));
  expect(OLD.length - shared).toBeLessThan(8 * KiB);
  expect(shared).toBeLessThanOrEqual(OLD.length);
});

test.each([0, 1_000 * KiB, 2_999 * KiB])("a changed byte ends what is the same: at %i", async (at) => {
  const changed = Buffer.concat([OLD, noise(10)]);
  changed[at] = (changed[at] ?? 0) ^ 1;
  expect(await sharedBy(changed)).toBeLessThanOrEqual(at);
});

test("files in one chunk tell nothing", async () => {
  expect(await sharedBy(OLD, noise(100))).toBe(0);
});

async function sharedBy(longer: Uint8Array, shorter: Uint8Array = OLD): Promise<number> {
  const blocks = new BlockMap();
  const [one, other] = [await writeBytes(blocks, config, shorter), await writeBytes(blocks, config, longer)];
  const source = new ChunkCache(blocks, { capacityBytes: 16 * KiB * KiB });
  return loading(source, () => sharedStart(source, one, other));
}
