import { expect, test } from "vitest";
import type { Cid, Wallet } from "../../../../src/base/ids.ts";
import { cidOf } from "../../../../src/format/blocks/cid.ts";
import { RECENT_BYTES, RECENT_NODE_BYTES } from "../../../../src/master/limits.ts";
import { RecentNodes } from "../../../../src/master/store/recent-nodes.ts";
import { noise } from "../../../support/bytes.ts";

const OWNERS = Array.from({ length: 100 }, (_, at) => `0x${String(at).padStart(40, "0")}` as Wallet);
const bytes = noise(RECENT_NODE_BYTES, 1);
const cids = Array.from({ length: 64 }, (_, at) => cidOf("dag-cbor", noise(100, at)));

test("recent nodes of any number of owners take a bounded amount of memory", () => {
  const recent = new RecentNodes();
  for (const owner of OWNERS) for (const cid of cids) recent.note(owner, cid, bytes);
  const isKept = (owner: Wallet, cid: Cid) => recent.get(owner, cid) !== undefined;
  const kept = OWNERS.toReversed().flatMap((owner) => cids.filter((cid) => isKept(owner, cid)));
  expect(kept.length * bytes.length).toBeLessThanOrEqual(RECENT_BYTES);
  expect(cids.every((cid) => isKept(OWNERS.at(-1) as Wallet, cid))).toBe(true);
});

test("an owner's recent nodes are not another's, and chunks and large nodes are not kept", () => {
  const recent = new RecentNodes();
  const [one, other] = OWNERS as [Wallet, Wallet];
  const [small, large] = cids as [Cid, Cid];
  const chunk = cidOf("raw", bytes);
  recent.note(one, small, bytes);
  recent.note(one, large, noise(RECENT_NODE_BYTES + 1, 2));
  recent.note(one, chunk, bytes);
  expect(recent.get(one, small)).toEqual(bytes);
  expect([recent.get(other, small), recent.get(one, large), recent.get(one, chunk)]).toEqual([
    undefined,
    undefined,
    undefined,
  ]);
});
