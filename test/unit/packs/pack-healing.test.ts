import { expect, test } from "vitest";
import { blake3 } from "../../../src/crypto/hash.ts";
import { healBlocks } from "../../../src/packs/pack-healing.ts";
import { noise } from "../../support/bytes.ts";

test("rows without bytes, as damage leaves them, do not keep a repair from ending", async () => {
  const [lost, kept] = [noise(4_096, 1), noise(1_000, 2)];
  const rows = [
    { digest: blake3(lost), offset: 0, length: 0, codec: 0 },
    { digest: blake3(kept), offset: 4_096, length: 1_000, codec: 0 },
  ];
  const bytes = Buffer.concat([noise(4_096, 3), kept]);
  const healed = await healBlocks(bytes, bytes.length, rows, async () => undefined);
  expect(healed.rows.map(({ offset, length }) => [offset, length])).toEqual([
    [0, 4_096],
    [4_096, 1_000],
  ]);
});
