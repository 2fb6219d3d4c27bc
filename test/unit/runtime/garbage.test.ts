/** When garbage is collected. */
import { expect, test } from "vitest";
import { MAX_BLOCK_ACCEPTED } from "../../../src/base/limits.ts";
import { GARBAGE_BYTES } from "../../../src/master/limits.ts";
import { cidOf } from "../../../src/format/blocks/cid.ts";
import { Garbage } from "../../../src/runtime/garbage.ts";
import { carOf } from "../../support/car.ts";
import { startTestMaster } from "../../support/test-master.ts";

test("garbage is collected each time that it reaches its limit", () => {
  const collected: string[] = [];
  const garbage = new Garbage(GARBAGE_BYTES, (what) => collected.push(what));
  for (let piece = 0; piece < 25; piece++) garbage.old(GARBAGE_BYTES.all / 8);
  expect(collected).toEqual(["all", "all", "all"]);
  for (let piece = 0; piece < 25; piece++) garbage.young(GARBAGE_BYTES.young / 8);
  expect(collected.slice(3)).toEqual(["young", "young", "young"]);
});

test("uploads trigger collections of young garbage", async () => {
  const collected: string[] = [];
  const master = await startTestMaster({ collect: (what) => collected.push(what) });
  const bytes = (seed: number) => Buffer.alloc(MAX_BLOCK_ACCEPTED, `${seed} `);
  const blocks = Array.from({ length: 9 }, (_, seed) => ({ cid: cidOf("raw", bytes(seed)), bytes: bytes(seed) }));
  expect((await master.call("/v1/blocks", { method: "POST", body: carOf(...blocks) })).status).toBe(200);
  expect(collected).toEqual(["young", "young"]);
  await master.stop();
});

test("long lists trigger collections, and free their share of memory once they are answered", async () => {
  let times = 0;
  const master = await startTestMaster({ collect: () => times++ });
  const body = JSON.stringify({ cids: [], filler: "x".repeat(1_000_000) });
  const answers = await Promise.all(
    Array.from({ length: 12 }, () => master.call("/v1/blocks/have", { method: "POST", body })),
  );
  expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
  expect(times).toBe(4);
  await master.stop();
});
