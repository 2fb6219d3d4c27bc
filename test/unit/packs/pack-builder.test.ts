/** Packs that are built can be read. */
import { expect, test } from "vitest";
import { PACK_MAX_BYTES } from "../../../src/base/limits.ts";
import { systemRandom } from "../../../src/base/random.ts";
import { packName } from "../../../src/format/blocks/object-name.ts";
import { buildPack } from "../../../src/packs/pack-builder.ts";
import { noise } from "../../support/bytes.ts";
import { blockOf } from "../../support/commit-chain.ts";

test("a pack that no reader would take is refused", () => {
  const MiB = 1024 * 1024;
  const blocks = Array.from({ length: PACK_MAX_BYTES / (4 * MiB) }, (_, at) => blockOf("raw", noise(4 * MiB, at)));
  const name = packName(systemRandom.bytes(16));
  expect(() => buildPack(name, blocks)).toThrow(expect.objectContaining({ code: "limit_exceeded" }));
  expect(buildPack(name, blocks.slice(1)).pack.size).toBeLessThan(PACK_MAX_BYTES);
});
