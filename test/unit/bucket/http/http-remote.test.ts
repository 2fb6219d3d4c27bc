/** A bucket at a master that is cut off, restarted, forgets or lies: what is sent, what is lost, what is said. */
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { systemClock } from "../../../../src/base/clock.ts";
import { SynclineError } from "../../../../src/base/errors.ts";
import type { Cid } from "../../../../src/base/ids.ts";
import { MASTER_PUT_BYTES } from "../../../../src/base/limits.ts";
import { systemRandom } from "../../../../src/base/random.ts";
import type { Block } from "../../../../src/blocks/block-store.ts";
import { RetryReader } from "../../../../src/blocks/retry-reader.ts";
import { HttpRemote } from "../../../../src/bucket/http/http-remote.ts";
import type { LocalBlocks } from "../../../../src/bucket/http/http-upload.ts";
import type { UploadSession } from "../../../../src/bucket/remote.ts";
import { walletBearer } from "../../../../src/net/bearer.ts";
import { MasterConnection } from "../../../../src/net/master-connection.ts";
import { MissingBlocks } from "../../../../src/roots/http-root-store.ts";
import { bytesAnswer, jsonAnswer, lost, MeddlingMaster } from "../../../support/meddling-master.ts";
import { randomLooking, raw } from "../../../support/opaque-commits.ts";
import { cborBlock, madeSigned, publishSigned, SignedHistory } from "../../../support/signed-history.ts";
import { alice, startTestMaster, type TestMaster } from "../../../support/test-master.ts";

let master: TestMaster;
let history: SignedHistory;
let buckets = 0;
beforeAll(async () => {
  [master, history] = [await startTestMaster(), await SignedHistory.create()];
});
afterAll(() => master.stop());

describe("an upload", () => {
  test("that was cut off resumes: what arrived is not sent again", async () => {
    const { remote, way } = await madeBucket();
    const content = Array.from({ length: 60 }, (_, index) => randomLooking(`cut ${index} ${buckets}`, 500_000));
    let batches = 0;
    way.meddling.before = ({ path }) => {
      if (path === "/v1/blocks" && ++batches > 2) throw lost(false);
      return undefined;
    };
    const root = await rootOf(remote);
    const cut = async () => {
      await using first = remote.beginUpload();
      await sendAll(first, content);
      await first.prepare(root, history.next(root.commit, "cut", content));
    };
    await expect(cut()).rejects.toMatchObject({ code: "store_unreachable" });
    way.meddling.before = undefined;
    await using session = remote.beginUpload();
    await sendAll(session, content);
    const { uploaded, swap } = await session.prepare(root, history.next(root.commit, "whole", content));
    expect(uploaded.bytes).toBeLessThan(30_000_000 - 2 * MASTER_PUT_BYTES + 1_000_000);
    expect(uploaded.bytes).toBeGreaterThan(10_000_000);
    expect((await swap()).kind).toBe("committed");
  });

  test("resumes by itself after a short cut", async () => {
    const { remote, way } = await madeBucket();
    let cuts = 3;
    way.meddling.before = ({ path }) => {
      if (path === "/v1/blocks" && cuts-- > 0) throw lost(false);
      return undefined;
    };
    await expect(publishSigned(history, remote, "two", [raw("through")])).resolves.toMatchObject({ version: 2 });
    expect(way.calls.filter((call) => call.endsWith("/v1/blocks"))).toHaveLength(5);
  });

  test("whose reply was lost is not sent again either", async () => {
    const { remote, way } = await madeBucket();
    const content = [randomLooking(`unheard ${buckets}`, 1_000_000)];
    way.meddling.after = async ({ path }, answer) => {
      if (path !== "/v1/blocks") return answer;
      await answer.json();
      throw lost(true);
    };
    const before = way.calls.filter((call) => call.endsWith("/v1/blocks")).length;
    await expect(publishSigned(history, remote, "two", content)).resolves.toMatchObject({ version: 2 });
    expect(way.calls.filter((call) => call.endsWith("/v1/blocks"))).toHaveLength(before + 1);
  });

  test("resumes after the master was restarted", async () => {
    const own = await startTestMaster();
    const { remote } = await madeBucket(own);
    const content = [randomLooking(`restarted ${buckets}`, 1_000_000)];
    const root = await rootOf(remote);
    await using first = remote.beginUpload();
    await sendAll(first, content);
    await first.prepare(root, history.next(root.commit, "before", content));
    await own.stop();
    const { host, hostname, port } = new URL(own.origin);
    const listen = { host: hostname, port: Number(port), tls: undefined };
    const again = await startTestMaster({ data: own.data, listen });
    onTestFinished(() => again.stop());
    expect(again.origin).toContain(host);
    await using session = remote.beginUpload();
    await sendAll(session, content);
    const { uploaded, swap } = await session.prepare(root, history.next(root.commit, "after", content));
    expect(uploaded.bytes).toBeLessThan(10_000);
    expect((await swap()).kind).toBe("committed");
  });

  test("has at most two batches in flight, however large it is", async () => {
    const { remote, way } = await madeBucket();
    await using session = remote.beginUpload();
    for (let index = 0; index < 120; index++) {
      await session.putContent(randomLooking(`long ${index} ${buckets}`, 500_000));
    }
    expect(way.mostBodyBytes).toBeLessThan(2 * (MASTER_PUT_BYTES + 1_000_000));
  });

  test("of one small edit takes two calls", async () => {
    const { remote, way } = await madeBucket();
    const root = await rootOf(remote);
    way.calls.length = 0;
    await using session = remote.beginUpload();
    await session.putContent(raw("small"));
    const { swap } = await session.prepare(root, history.next(root.commit, "edit", [raw("small")]));
    await swap();
    expect(way.calls.map((call) => call.split(" ")[0])).toEqual(["POST", "PUT"]);
  });

  test("beyond the owner's quota is refused as such", async () => {
    const own = await startTestMaster({ quotaBytes: 100_000 });
    onTestFinished(() => own.stop());
    const { remote } = await madeBucket(own);
    const root = await rootOf(remote);
    await using session = remote.beginUpload();
    const large = randomLooking("too large", 200_000);
    await session.putContent(large);
    await expect(session.prepare(root, history.next(root.commit, "x", [large]))).rejects.toMatchObject({
      code: "over_quota",
    });
  });
});

describe("a master that lacks blocks it claimed to have", () => {
  /** Says of these that they are there, when asked. */
  const claim = (way: MeddlingMaster, claimed: readonly Block[]) => {
    const cids = new Set<unknown>(claimed.map(({ cid }) => cid));
    way.meddling.after = async ({ path }, answer) => {
      if (path !== "/v1/blocks/have") return answer;
      const { missing } = (await answer.json()) as { missing: unknown[] };
      return jsonAnswer(200, { missing: missing.filter((cid) => !cids.has(cid)) });
    };
  };

  test("gets nodes again with the swap, which then commits", async () => {
    const { remote, way } = await madeBucket();
    const nodes = Array.from({ length: 20 }, (_, index) => cborBlock(`${index} ${"x".repeat(10_000)} ${buckets}`));
    claim(way, nodes.slice(3, 9));
    const root = await publishSigned(history, remote, "two", [], nodes);
    expect(await remote.readRoot()).toEqual(root);
    expect((await remote.blocks.getMany(nodes.map(({ cid }) => cid))).size).toBe(20);
  });

  test("makes an upload begin anew if the uploader no longer has the block", async () => {
    const { remote, way } = await madeBucket();
    const content = randomLooking(`claimed ${buckets}`, 100_000);
    claim(way, [content]);
    await expect(publishSigned(history, remote, "two", [content])).rejects.toMatchObject({ code: "root_moved" });
    way.meddling.after = undefined;
    await expect(publishSigned(history, remote, "two", [content])).resolves.toMatchObject({ version: 2 });
  });

  test("gets old blocks again from copies on this machine", async () => {
    const { remote, way } = await madeBucket();
    const content = randomLooking(`cached ${buckets}`, 100_000);
    const { remote: healing } = openBucket(master, nameOf(remote), {
      held: async (cids) => new Map(cids.filter((cid) => cid === content.cid).map((cid) => [cid, content.bytes])),
    });
    claim(way, [content]);
    await expect(publishSigned(history, remote, "two", [content])).rejects.toMatchObject({ code: "root_moved" });
    // Another upload, which reaches the block without having it.
    const root = await rootOf(healing);
    await using session = healing.beginUpload();
    const { swap } = await session.prepare(root, history.next(root.commit, "three", [content]));
    expect((await swap()).kind).toBe("committed");
    expect(Buffer.compare(await remote.blocks.get(content.cid), content.bytes)).toBe(0);
  });

  test("gets many old blocks again in calls within its size limit", async () => {
    const { remote, way } = await madeBucket();
    const contents = Array.from({ length: 10 }, (_, index) => randomLooking(`many ${index} ${buckets}`, 1 << 20));
    const { remote: healing, way: healingWay } = openBucket(master, nameOf(remote), {
      held: async (cids) =>
        new Map(contents.filter(({ cid }) => cids.includes(cid)).map(({ cid, bytes }) => [cid, bytes])),
    });
    claim(way, contents);
    await expect(publishSigned(history, remote, "two", contents)).rejects.toMatchObject({ code: "root_moved" });
    const root = await rootOf(healing);
    await using session = healing.beginUpload();
    const { swap } = await session.prepare(root, history.next(root.commit, "three", contents));
    expect((await swap()).kind).toBe("committed");
    expect(healingWay.mostBodyBytes).toBeLessThan(MASTER_PUT_BYTES + (64 << 10));
  });

  test("is reported if it does so a second time", async () => {
    const { remote, way } = await madeBucket();
    const content = randomLooking(`claimed twice ${buckets}`, 100_000);
    claim(way, [content]);
    await expect(publishSigned(history, remote, "two", [content])).rejects.toMatchObject({ code: "root_moved" });
    await expect(publishSigned(history, remote, "two", [content])).rejects.toThrow(MissingBlocks);
  });
});

describe("a swap", () => {
  test.each([
    ["lost on its way to the master", "before"],
    ["answered but the reply was lost", "after"],
  ] as const)("that creates the bucket takes effect once although it was %s", async (_, when) => {
    const { remote, way } = openBucket(master, `made-${when}`);
    let left = 2;
    const lose = ({ method }: { readonly method: string }) => {
      if (method === "PUT" && left-- > 0) throw lost(true);
      return undefined;
    };
    if (when === "before") way.meddling.before = lose;
    else way.meddling.after = (request, answer) => lose(request) ?? answer;
    expect(await remote.create(history.genesis, history.first)).toBe(true);
    expect((await rootOf(remote)).commit).toBe(history.first.commit.cid);
    expect(await remote.create(history.genesis, history.first)).toBe(false);
  });

  test("whose reply is lost is unknown, and may have taken effect", async () => {
    const { remote, way } = await madeBucket();
    way.meddling.after = async ({ method }, answer) => {
      if (method !== "PUT") return answer;
      await answer.json();
      throw lost(true);
    };
    const swap = await prepared(remote);
    expect((await swap.swap()).kind).toBe("unknown");
    expect((await remote.readRoot())?.commit).toBe(swap.commit);
    way.meddling.after = undefined;
    expect(await swap.swap()).toEqual({ kind: "conflict", current: { commit: swap.commit, version: 2 } });
  });

  test.each([
    ["that was never sent", () => lost(false), "arbiter_unreachable"],
    [
      "that the master refused without changing anything",
      () => jsonAnswer(503, { outcome: "unchanged" }),
      "arbiter_unreachable",
    ],
    ["whose outcome the master does not know", () => jsonAnswer(503, { outcome: "unknown" }), "unknown"],
    ["that a proxy answered with an error", () => jsonAnswer(502, "Bad Gateway"), "unknown"],
    ["that was answered with another root", () => jsonAnswer(200, { root: cborBlock("x").cid, version: 2 }), "unknown"],
    ["that was answered with null", () => jsonAnswer(200, null), "unknown"],
    ["of a wallet that is not served", () => jsonAnswer(403, { code: "wallet_not_allowed" }), "wallet_not_allowed"],
    ["of an uncertified device", () => jsonAnswer(403, { code: "device_not_certified" }), "device_not_certified"],
    ["of another bucket's commit", () => jsonAnswer(409, { code: "foreign_genesis" }), "foreign_bucket"],
    ["whose conflict answer was cut off", () => brokenOff(412), "arbiter_unreachable"],
    ["whose refusal was cut off", () => brokenOff(409), "arbiter_unreachable"],
    ["of a wallet that is not served, with the refusal cut off", () => brokenOff(403), "wallet_not_allowed"],
    [
      "with a conflict answer that lacks a version",
      () => jsonAnswer(412, { code: "conflict", current: cborBlock("x").cid }),
      "conflict",
    ],
  ])("%s", async (_, answer, expected) => {
    const { remote, way } = await madeBucket();
    const swap = await prepared(remote);
    way.meddling.before = ({ method }) => {
      if (method !== "PUT") return undefined;
      const given = answer();
      if (given instanceof SynclineError) throw given;
      return given;
    };
    const outcome = await swap.swap().then(
      ({ kind }) => kind as string,
      (error: SynclineError) => error.code,
    );
    expect(outcome).toBe(expected);
    expect(way.calls.filter((call) => call.startsWith("PUT"))).toHaveLength(2);
  });
});

describe("answers of a master are checked", () => {
  const asked = raw("asked for");
  const other = raw("not asked for");
  test.each<[string, (way: MeddlingMaster) => void, string]>([
    ["forged bytes", (way) => replace(way, "/ipfs/", () => bytesAnswer(Buffer.from("forged"))), "block_corrupt"],
    ["too many bytes", (way) => replace(way, "/ipfs/", () => bytesAnswer(Buffer.alloc(5_000_000))), "store_failed"],
  ])("a block with %s is refused", async (_, meddle, code) => {
    const { remote, way } = await madeBucket();
    await publishSigned(history, remote, "two", [asked]);
    meddle(way);
    await expect(remote.blocks.get(asked.cid)).rejects.toMatchObject({ code });
  });

  test.each<[string, Block[], string]>([
    ["an unrequested block", [other], "block_corrupt"],
    ["a duplicate block", [asked, asked], "block_corrupt"],
    ["forged bytes", [{ cid: asked.cid, bytes: Buffer.from("forged") }], "block_corrupt"],
    ["blocks missing every time", [], "block_not_found"],
  ])("answering a list of blocks with %s is an error", async (_, blocks, code) => {
    const { remote, way } = await madeBucket();
    const { carBatch } = await import("../../../../src/blocks/car-batch.ts");
    replace(way, "/v1/blocks/get", () => bytesAnswer(Buffer.concat([...carBatch(blocks).pieces])));
    await expect(remote.blocks.getMany([asked.cid, raw("another").cid])).rejects.toMatchObject({ code });
  });

  test("a list of blocks that came damaged is requested once more, wherever the damage is", async () => {
    const { remote, way } = await madeBucket();
    const { carBatch } = await import("../../../../src/blocks/car-batch.ts");
    const blocks = [asked, other];
    const car = Buffer.concat([...carBatch(blocks).pieces]);
    for (let at = 0; at < car.length; at++) {
      const damaged = Buffer.from(car);
      damaged[at] = (damaged[at] ?? 0) ^ 1;
      const answers = [damaged, car];
      replace(way, "/v1/blocks/get", () => bytesAnswer(answers.shift() ?? car));
      const reader = new RetryReader(remote.blocks, { clock: systemClock, random: systemRandom });
      const read = await reader.getMany(blocks.map(({ cid }) => cid));
      expect([at, ...read.keys()].sort()).toEqual([at, asked.cid, other.cid].sort());
    }
  });

  test.each([null, {}, { missing: "all" }, { missing: [other.cid] }, { missing: [17] }])(
    "answering a look-up with %j is an error",
    async (value) => {
      const { remote, way } = await madeBucket();
      replace(way, "/v1/blocks/have", () => jsonAnswer(200, value));
      await expect(remote.blocks.has([asked.cid])).rejects.toMatchObject({ code: "store_failed" });
    },
  );

  test.each([null, {}, { root: "x", version: 1 }, { root: asked.cid, version: -1 }, { root: asked.cid, version: "1" }])(
    "answering with the root %j is an error",
    async (value) => {
      const { remote, way } = await madeBucket();
      replace(way, "/root", () => jsonAnswer(200, value));
      await expect(remote.readRoot()).rejects.toMatchObject({ code: "store_failed" });
    },
  );

  test("a root that the master marks as stale counts as unreachable", async () => {
    const { remote, way } = await madeBucket();
    const { commit } = await rootOf(remote);
    replace(way, "/root", () => jsonAnswer(200, { root: commit, version: 1, stale: true }));
    await expect(remote.readRoot()).rejects.toMatchObject({ code: "arbiter_unreachable" });
  });

  test("a 404 page of some other server does not mean that the bucket is gone", async () => {
    const { remote, way } = await madeBucket();
    replace(way, "/root", () => jsonAnswer(404, "<html>"));
    await expect(remote.readRoot()).rejects.toMatchObject({ code: "arbiter_unreachable" });
  });
});

describe("a watch", () => {
  test("hears of a root when the master announces it, without polling", async () => {
    const { remote, way } = await madeBucket();
    const { remote: writer } = openBucket(master, nameOf(remote));
    const heard = listenTo(remote);
    await heard.times(1);
    await expect.poll(() => way.calls.filter((call) => call.endsWith("/watch")).length).toBe(1);
    await publishSigned(history, writer, "two");
    await heard.times(2);
    await expect(heard.times(2)).resolves.toBeUndefined();
  });

  test("does not report a root that this remote swapped in itself", async () => {
    const { remote } = await madeBucket();
    const { remote: writer } = openBucket(master, nameOf(remote));
    const heard = listenTo(remote);
    await heard.times(1);
    await publishSigned(history, remote, "own");
    await publishSigned(history, writer, "another's");
    await heard.times(2);
    expect(heard.count()).toBe(2);
  });

  test("polls a master that announces nothing", async () => {
    const { remote, way } = await madeBucket();
    way.capabilities = async () => ({ watch: false, turns: false, masters: false, maxBlock: 1 << 22, leaseMs: 1 });
    const { remote: writer } = openBucket(master, nameOf(remote));
    const heard = listenTo(remote);
    await heard.times(1);
    await publishSigned(history, writer, "two");
    await heard.times(2);
    expect(way.calls.some((call) => call.endsWith("/watch"))).toBe(false);
  });

  test("reports when the master goes away and when it comes back", async () => {
    const { remote, way } = await madeBucket();
    const heard = listenTo(remote);
    await heard.times(1);
    way.meddling.before = () => {
      throw lost(false);
    };
    await heard.times(2);
    way.meddling.before = undefined;
    await heard.times(3);
    expect(heard.count()).toBe(3);
  });
});

function listenTo(remote: HttpRemote) {
  const heard = { count: 0, wake: () => {} };
  const watch = remote.watch(() => {
    heard.count++;
    heard.wake();
  });
  onTestFinished(() => watch[Symbol.dispose]());
  const times = async (wanted: number) => {
    while (heard.count < wanted) await new Promise<void>((resolve) => (heard.wake = resolve));
  };
  return { times, count: () => heard.count };
}

function replace(way: MeddlingMaster, part: string, answer: () => ReturnType<typeof jsonAnswer>): void {
  way.meddling.before = ({ path }) => (path.includes(part) ? answer() : undefined);
}

/** An answer of which only the head came. */
function brokenOff(status: number): ReturnType<typeof jsonAnswer> {
  return { ...jsonAnswer(status, {}), json: () => Promise.reject(lost(true)) };
}

function nameOf(remote: HttpRemote): string {
  return remote.address.split("/").at(-1) ?? "";
}

function openBucket(at: TestMaster, bucket: string, local?: LocalBlocks) {
  const bearer = walletBearer(async () => alice, systemClock);
  const way = new MeddlingMaster(new MasterConnection(at.origin, { bearer, clock: systemClock }));
  const ports = { clock: systemClock, random: systemRandom };
  const remote = new HttpRemote({
    address: `${at.origin}/${bucket}`,
    master: way,
    name: { owner: "", bucket },
    local,
    ...ports,
  });
  onTestFinished(() => remote[Symbol.asyncDispose]());
  return { remote, way };
}

async function madeBucket(at: TestMaster = master) {
  const opened = openBucket(at, `bucket-${++buckets}`);
  await madeSigned(history, async () => opened.remote);
  return opened;
}

async function sendAll(session: UploadSession, content: readonly Block[]): Promise<void> {
  for (const block of content) await session.putContent(block);
}

async function rootOf(remote: HttpRemote): Promise<{ commit: Cid; version: number }> {
  const root = await remote.readRoot();
  if (root === undefined) throw new Error("no root");
  return root;
}

async function prepared(remote: HttpRemote) {
  const root = await rootOf(remote);
  const session = remote.beginUpload();
  onTestFinished(() => session[Symbol.asyncDispose]());
  return session.prepare(root, history.next(root.commit, "swapped"));
}
