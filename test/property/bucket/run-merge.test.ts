/** The rows of several packs in one order. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import type { PackName } from "../../../src/base/ids.ts";
import { rowsOfPacks } from "../../../src/bucket/packed/run-merge.ts";
import { packName } from "../../../src/format/blocks/object-name.ts";
import { encodeFooter } from "../../../src/format/blocks/pack.ts";

/** Few digests, so that packs share some. */
const digests = fc.uniqueArray(fc.nat(40), { maxLength: 20 });

test("the rows of packs come by ascending digest, and those of one digest in the order of the packs", () => {
  fc.assert(
    fc.property(fc.array(digests, { maxLength: 9 }), (all) => {
      const packs = all.map((each, order) => {
        const rows = each.map((digest, index) => {
          return { digest: Buffer.alloc(32, digest), offset: index, length: 1, codec: 0 };
        });
        return { pack: packName(Buffer.alloc(16, order)), footer: encodeFooter(rows, new Uint8Array()).footer };
      });
      const expected = packs
        .flatMap(({ pack, footer }) => [...footer].map((row) => ({ pack, row })))
        .sort((a, b) => Buffer.compare(a.row.digest, b.row.digest));
      const shown = (pack: PackName, digest: Uint8Array, offset: number) => `${pack} ${digest[0]} ${offset}`;
      expect([...rowsOfPacks(packs)].map(({ pack, digest, offset }) => shown(pack, digest, offset))).toEqual(
        expected.map(({ pack, row }) => shown(pack, row.digest, row.offset)),
      );
    }),
  );
});
