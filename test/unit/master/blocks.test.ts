/** The calls on blocks of a master that runs. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CarReader } from "@ipld/car";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Link } from "../../../src/format/blocks/dag-cbor.ts";
import { carOf } from "../../support/car.ts";
import { raw } from "../../support/opaque-commits.ts";
import { cborBlock } from "../../support/signed-history.ts";
import { alice, bob, startTestMaster, type TestMaster } from "../../support/test-master.ts";

let master: TestMaster;
beforeAll(async () => void (master = await startTestMaster()));
afterAll(() => master.stop());

const post = async (path: string, body: unknown, as = alice) =>
  master.call(path, { method: "POST", body: JSON.stringify(body) }, as);
const upload = async (body: Uint8Array, as = alice) => master.call("/v1/blocks", { method: "POST", body }, as);
const cidsIn = async (response: Response) => {
  const reader = await CarReader.fromBytes(new Uint8Array(await response.arrayBuffer()));
  const cids: string[] = [];
  for await (const { cid } of reader.blocks()) cids.push(cid.toString());
  return cids;
};

test("uploaded blocks are listed and served to their owner only", async () => {
  const one = raw("one");
  const two = raw("two");
  const bad = { cid: raw("three").cid, bytes: Buffer.from("not three") };
  const answer = await upload(carOf(one, bad, two, one));
  expect(answer.status).toBe(200);
  expect(await answer.json()).toEqual({ stored: 2, known: 1, rejected: [{ cid: bad.cid, code: "cid_mismatch" }] });
  const cids = [two.cid, bad.cid, one.cid];
  expect(await (await post("/v1/blocks/have", { cids })).json()).toEqual({ missing: [bad.cid] });
  expect(await cidsIn(await post("/v1/blocks/get", { cids }))).toEqual([two.cid, one.cid]);
  expect(await (await post("/v1/blocks/have", { cids }, bob)).json()).toEqual({ missing: cids });
  expect(await cidsIn(await post("/v1/blocks/get", { cids }, bob))).toEqual([]);
});

describe("the trustless gateway", () => {
  test("serves a block with caching headers, and answers 304 when the client has it", async () => {
    const one = raw("a block of the gateway");
    await upload(carOf(one));
    const answer = await master.call(`/ipfs/${one.cid}?format=raw`);
    expect(await answer.text()).toBe("a block of the gateway");
    expect(answer.headers.get("etag")).toBe(`"${one.cid}"`);
    const again = await master.call(`/ipfs/${one.cid}?format=raw`, {
      headers: { "if-none-match": `W/"x", "${one.cid}"` },
    });
    expect(again.status).toBe(304);
    expect((await master.call(`/ipfs/${one.cid}?format=raw`, {}, bob)).status).toBe(404);
  });

  test("reports a block's length without reading it", async () => {
    const one = raw("its length is 17.");
    await upload(carOf(one));
    const answer = await master.call(`/ipfs/${one.cid}?format=raw`, { method: "HEAD" });
    expect(answer.status).toBe(200);
    expect(answer.headers.get("content-length")).toBe("17");
    expect(await answer.text()).toBe("");
  });

  test("serves a DAG in the order of its links, each block once", async () => {
    const leaf = raw("leaf");
    const other = raw("other leaf");
    const middle = cborBlock([new Link(leaf.cid), new Link(other.cid)]);
    const root = cborBlock({ a: new Link(middle.cid), b: new Link(leaf.cid) });
    await upload(carOf(root, middle, leaf, other));
    const get = async (scope: string) => cidsIn(await master.call(`/ipfs/${root.cid}?format=car${scope}`));
    expect(await get("")).toEqual([root.cid, middle.cid, leaf.cid, other.cid]);
    expect(await get("&dag-scope=block")).toEqual([root.cid]);
    expect(await get("&dag-scope=entity")).toEqual([root.cid]);
  });
});

test("a block damaged on disk is missing until it is sent again; others are served", async () => {
  const owner = await startTestMaster();
  const [good, damaged, hit] = [raw("a good block"), raw("a block that will be damaged"), raw("another one")];
  await owner.call("/v1/blocks", { method: "POST", body: carOf(good, damaged, hit) });
  const folder = join(owner.data, "owners", alice.wallet, "pack");
  for (const name of readdirSync(folder)) {
    const bytes = readFileSync(join(folder, name));
    for (const block of [damaged, hit]) {
      const at = bytes.indexOf(block.bytes);
      if (at >= 0) writeFileSync(join(folder, name), bytes.fill("x", at, at + 1));
    }
  }
  const get = async () => owner.call(`/ipfs/${damaged.cid}?format=raw`);
  const first = await get();
  expect(first.status).toBe(502);
  expect(await first.json()).toMatchObject({ code: "store_failed" });
  const body = JSON.stringify({ cids: [hit.cid, damaged.cid, good.cid] });
  expect(await cidsIn(await owner.call("/v1/blocks/get", { method: "POST", body }))).toEqual([good.cid]);
  expect((await get()).status).toBe(404);
  await owner.call("/v1/blocks", { method: "POST", body: carOf(damaged) });
  expect(await (await get()).text()).toBe("a block that will be damaged");
  await owner.stop();
});

test("ingest accepts one block, and refuses bytes under another block's address", async () => {
  const one = raw("ingested");
  const put = async (cid: string, body: string) => master.call(`/v0/block?cid=${cid}`, { method: "PUT", body });
  expect(await (await put(one.cid, "ingested")).json()).toEqual({ cid: one.cid, size: 8 });
  const wrong = await put(one.cid, "something else");
  expect(wrong.status).toBe(422);
  expect(await wrong.json()).toMatchObject({ declared: one.cid, actual: raw("something else").cid });
});
