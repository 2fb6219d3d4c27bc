import { expect, test } from "vitest";
import type { Cid, PackName } from "../../../../src/base/ids.ts";
import type { UploadedPack } from "../../../../src/bucket/packed/pack-uploader.ts";
import { SessionPacks } from "../../../../src/bucket/packed/session-packs.ts";
import { cidFromDigest, digestOf } from "../../../../src/format/blocks/cid.ts";
import { encodeFooter, PLAIN } from "../../../../src/format/blocks/pack.ts";
import { noise } from "../../../support/bytes.ts";

const ROWS = 8;

/** Pack `number` of made-up blocks, each of one byte. */
function packOf(number: number, cids: readonly Cid[], found: () => void): UploadedPack {
  const rows = cids.map((cid, offset) => ({ digest: digestOf(cid), offset, length: 1, codec: PLAIN }));
  const { footer } = encodeFooter(rows, new Uint8Array());
  const find = footer.find.bind(footer);
  footer.find = (digest) => {
    found();
    return find(digest);
  };
  return { pack: { name: `pack/${number}` as PackName, size: 0, rows: ROWS, manifestBytes: 0 }, footer };
}

test("every block of a thousand packs is found, and each look-up searches at most one pack", () => {
  let searched = 0;
  const packs = new SessionPacks();
  const blocks = Array.from({ length: 1_000 * ROWS }, (_, index) => cidFromDigest("raw", noise(32, index + 1)));
  for (let at = 0; at < blocks.length; at += ROWS)
    packs.add(packOf(at / ROWS, blocks.slice(at, at + ROWS), () => void searched++));
  for (const [index, cid] of blocks.entries())
    expect(packs.locate(cid)).toEqual({
      pack: `pack/${Math.floor(index / ROWS)}`,
      offset: index % ROWS,
      length: 1,
      codec: PLAIN,
    });
  expect(searched).toBe(blocks.length);
  expect(packs.locate(cidFromDigest("raw", noise(32, 1_000_000)))).toBeUndefined();
  expect(searched).toBe(blocks.length);
});

test("blocks whose hashes share a prefix are told apart, and a forgotten pack holds none", () => {
  const packs = new SessionPacks();
  const [one, other] = [7, 8].map((last) => {
    const digest = new Uint8Array(32).fill(1);
    digest[31] = last;
    return cidFromDigest("raw", digest);
  }) as [Cid, Cid];
  packs.add(packOf(0, [one], () => {}));
  expect(packs.locate(other)).toBeUndefined();
  packs.add(packOf(1, [other], () => {}));
  expect(packs.locate(other)?.pack).toBe("pack/1");
  packs.forget("pack/0" as PackName);
  expect(packs.locate(one)).toBeUndefined();
  expect(packs.locate(other)?.pack).toBe("pack/1");
});
