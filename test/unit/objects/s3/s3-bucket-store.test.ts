/** Numbered roots: writers that wake up late, stale hints, concurrent creators. Also: when the server is tested. */
import { describe, expect, test } from "vitest";
import { systemClock } from "../../../../src/base/clock.ts";
import { encodeRootHint } from "../../../../src/format/blocks/root-hint.ts";
import type { RootForm } from "../../../../src/objects/s3/probe.ts";
import { S3BucketStore } from "../../../../src/objects/s3/s3-bucket-store.ts";
import { S3Script } from "../../../support/s3-script.ts";

const HOUR_MS = 3_600_000;

function opened(server: S3Script, form: RootForm = "numbered", nowMs = () => Date.now()) {
  const checks: string[] = [];
  const store = new S3BucketStore({
    store: server.store(),
    clock: { ...systemClock, nowNs: () => BigInt(nowMs()) * 1_000_000n },
    chooseForm: async () => (checks.push("choose"), form),
    checkForm: async (checked) => void checks.push(checked),
  });
  return { store, checks };
}

const bytes = (text: string) => [Buffer.from(text)];
const rootOf = async (store: S3BucketStore) => Buffer.from((await store.get("root"))?.bytes ?? "").toString();

async function publish(store: S3BucketStore, text: string) {
  const root = await store.get("root");
  return root === undefined ? store.putNew("root", bytes(text)) : store.putIfMatch("root", bytes(text), root.token);
}

const rootName = (number: number) => `roots/${String(number).padStart(16, "0")}`;

function numbersOn(server: S3Script): number[] {
  const numbers = [...server.objects.keys()].flatMap((key) => /^p\/roots\/(\d+)$/.exec(key)?.[1] ?? []);
  return numbers.map(Number).sort((a, b) => a - b);
}

/** Three days later, after a collection. */
function agedAndPruned(server: S3Script, upTo: number) {
  server.aheadMs += 72 * HOUR_MS;
  for (const key of server.objects.keys()) {
    const number = /^p\/roots\/(\d+)$/.exec(key)?.[1];
    if (number !== undefined && Number(number) <= upTo) server.objects.delete(key);
  }
}

describe("numbered roots", () => {
  test("each root is an object of its own, and a look at an unchanged one is one request", async () => {
    await using server = await S3Script.start();
    const { store } = opened(server);
    for (const text of ["one", "two", "three"]) expect((await publish(store, text)).kind).toBe("stored");
    expect([...server.objects.keys()].filter((key) => key.startsWith("p/roots/"))).toHaveLength(3);
    server.seen.length = 0;
    expect(await rootOf(store)).toBe("three");
    expect(server.seen.map(({ method }) => method)).toEqual(["GET"]);
  });

  test("a newcomer starts at the hint, which may lag, and finds the newest", async () => {
    await using server = await S3Script.start();
    const { store } = opened(server);
    for (let number = 1; number <= 13; number++) await publish(store, `root ${number}`);
    expect(await rootOf(opened(server).store)).toBe("root 13");
    server.objects.set("p/root", { body: Buffer.from(encodeRootHint(2)), tag: '"h"', dateMs: 0 });
    expect(await rootOf(opened(server).store)).toBe("root 13");
  });

  test("a lost hint hides no root: newcomers list them once, and write the hint again", async () => {
    await using server = await S3Script.start();
    const { store } = opened(server);
    for (let number = 1; number <= 12; number++) await publish(store, `root ${number}`);
    server.objects.delete("p/root");
    agedAndPruned(server, 4);
    expect(await rootOf(opened(server).store)).toBe("root 12");
    expect(Buffer.from(server.objects.get("p/root")?.body ?? "")).toEqual(Buffer.from(encodeRootHint(12)));
    server.seen.length = 0;
    expect(await rootOf(opened(server).store)).toBe("root 12");
    expect(server.seen.map(({ method, path }) => `${method} ${path}`)).toEqual([
      "GET p/root",
      `GET p/${rootName(12)}`,
      `GET p/${rootName(13)}`,
    ]);
  });

  test("a lost hint that cannot be written again is no obstacle", async () => {
    await using server = await S3Script.start();
    const { store } = opened(server);
    for (let number = 1; number <= 3; number++) await publish(store, `root ${number}`);
    server.objects.delete("p/root");
    server.next("PUT", { status: 403, body: "<Error><Code>AccessDenied</Code></Error>" });
    const newcomer = opened(server).store;
    expect(await rootOf(newcomer)).toBe("root 3");
    expect((await publish(newcomer, "root 4")).kind).toBe("stored");
    expect(await rootOf(store)).toBe("root 4");
  });

  test.each([["numbered"], ["replaced"]] as const)(
    "where a hint is lost and its first numbers were deleted, no bucket is made (%s)",
    async (form) => {
      await using server = await S3Script.start();
      const { store } = opened(server);
      for (let number = 1; number <= 12; number++) await publish(store, `root ${number}`);
      server.objects.delete("p/root");
      agedAndPruned(server, 4);
      expect((await opened(server, form).store.putNew("root", bytes("rival"))).kind).toBe("refused");
      expect(numbersOn(server)).toEqual([5, 6, 7, 8, 9, 10, 11, 12]);
      expect(await rootOf(opened(server).store)).toBe("root 12");
    },
  );

  test("a hint from before the first root hides none, though the first numbers were deleted", async () => {
    await using server = await S3Script.start();
    const { store } = opened(server);
    for (let number = 1; number <= 12; number++) await publish(store, `root ${number}`);
    agedAndPruned(server, 4);
    server.objects.set("p/root", { body: Buffer.from(encodeRootHint(0)), tag: '"h"', dateMs: 0 });
    expect(await rootOf(opened(server).store)).toBe("root 12");
  });

  test("a newcomer does not read every root after a hint that was never written again", async () => {
    await using server = await S3Script.start();
    for (let number = 1; number <= 500; number++) server.put(rootName(number), `root ${number}`);
    server.objects.set("p/root", { body: Buffer.from(encodeRootHint(0)), tag: '"h"', dateMs: 0 });
    const denied = { status: 403, body: "<Error><Code>AccessDenied</Code></Error>" };
    server.next("PUT", denied);
    const { store } = opened(server);
    expect(await rootOf(store)).toBe("root 500");
    expect(server.seen.length).toBeLessThan(30);
    server.seen.length = 0;
    expect(await rootOf(store)).toBe("root 500");
    expect(server.seen).toHaveLength(1);
  });

  test("a hint beyond all roots deletes none of them", async () => {
    await using server = await S3Script.start();
    const { store } = opened(server);
    for (let number = 1; number <= 3; number++) await publish(store, `root ${number}`);
    server.objects.set("p/root", { body: Buffer.from(encodeRootHint(90_000)), tag: '"h"', dateMs: 0 });
    server.aheadMs += 72 * HOUR_MS;
    await store.prune();
    expect(numbersOn(server)).toEqual([1, 2, 3]);
    expect(await rootOf(opened(server).store)).toBe("root 3");
  });

  test("a hint whose number was deleted leads to the newest that is listed", async () => {
    await using server = await S3Script.start();
    const { store } = opened(server);
    for (let number = 1; number <= 9; number++) await publish(store, `root ${number}`);
    server.objects.set("p/root", { body: Buffer.from(encodeRootHint(2)), tag: '"h"', dateMs: 0 });
    agedAndPruned(server, 5);
    expect(await rootOf(opened(server).store)).toBe("root 9");
  });

  test("what a sleeper creates at a number that others used and deleted does not count", async () => {
    await using server = await S3Script.start();
    const [sleeper, awake] = [opened(server).store, opened(server).store];
    await publish(sleeper, "root 1");
    const asleep = await sleeper.get("root");
    for (let number = 2; number <= 9; number++) await publish(awake, `root ${number}`);
    agedAndPruned(server, 4);
    expect((await sleeper.putIfMatch("root", bytes("late"), asleep?.token ?? "")).kind).toBe("unknown");
    expect([...server.objects.keys()].filter((key) => key.startsWith("p/roots/")).length).toBe(5);
    expect(await rootOf(sleeper)).toBe("root 9");
  });

  test("a root whose creation is confirmed days later stays, though others have built on it", async () => {
    await using server = await S3Script.start();
    const [slow, other] = [opened(server).store, opened(server).store];
    await publish(other, "root 1");
    const base = await slow.get("root");
    // The answer is lost, and the machine sleeps before it looks.
    server.put("roots/0000000000000002", "ours");
    await publish(other, "root 3");
    server.aheadMs += 72 * HOUR_MS;
    await slow.get("genesis");
    server.next("PUT", "mute");
    expect((await slow.putIfMatch("root", bytes("ours"), base?.token ?? "")).kind).toBe("stored");
    expect(server.objects.has("p/roots/0000000000000002")).toBe(true);
    expect(await rootOf(slow)).toBe("root 3");
  });

  test("one that is confirmed after it was deleted with its base is unknown: it may have counted", async () => {
    await using server = await S3Script.start();
    const [slow, other] = [opened(server).store, opened(server).store];
    await publish(other, "root 1");
    const base = await slow.get("root");
    server.put("roots/0000000000000002", "ours");
    for (let number = 3; number <= 9; number++) await publish(other, `root ${number}`);
    agedAndPruned(server, 4);
    server.next("PUT", "cut");
    expect((await slow.putIfMatch("root", bytes("ours"), base?.token ?? "")).kind).toBe("unknown");
    expect(server.objects.has("p/roots/0000000000000002")).toBe(false);
    expect(await rootOf(slow)).toBe("root 9");
  });

  test("after a gap a reader looks at the hint again instead of the number that it remembers", async () => {
    await using server = await S3Script.start();
    let nowMs = Date.now();
    const [reader, awake] = [opened(server, "numbered", () => nowMs).store, opened(server).store];
    await publish(awake, "root 1");
    expect(await rootOf(reader)).toBe("root 1");
    for (let number = 2; number <= 9; number++) await publish(awake, `root ${number}`);
    agedAndPruned(server, 4);
    nowMs += 100 * HOUR_MS;
    expect(await rootOf(reader)).toBe("root 9");
  });

  test("after a gap a reader notices that the number that it remembers is gone, even if the hint is older", async () => {
    await using server = await S3Script.start();
    let nowMs = Date.now();
    const [reader, awake] = [opened(server, "numbered", () => nowMs).store, opened(server).store];
    for (let number = 1; number <= 3; number++) await publish(awake, `root ${number}`);
    expect(await rootOf(reader)).toBe("root 3");
    for (let number = 4; number <= 9; number++) await publish(awake, `root ${number}`);
    agedAndPruned(server, 5);
    server.objects.set("p/root", { body: Buffer.from(encodeRootHint(2)), tag: '"h"', dateMs: 0 });
    nowMs += 100 * HOUR_MS;
    expect(await rootOf(reader)).toBe("root 9");
  });

  test("objects under roots/ that are no roots are passed over", async () => {
    await using server = await S3Script.start();
    const { store } = opened(server);
    for (let number = 1; number <= 3; number++) await publish(store, `root ${number}`);
    server.put("roots/zzz", "no root");
    server.objects.delete("p/root");
    expect(await rootOf(opened(server).store)).toBe("root 3");
  });

  test("old numbers are deleted only far behind the newest and after two days, lowest first", async () => {
    await using server = await S3Script.start();
    const { store } = opened(server);
    for (let number = 1; number <= 3; number++)
      server.put(`roots/${String(number).padStart(16, "0")}`, `root ${number}`);
    server.put(`roots/${String(2_000).padStart(16, "0")}`, "root 2000");
    server.objects.set("p/root", { body: Buffer.from(encodeRootHint(2_000)), tag: '"h"', dateMs: 0 });
    await store.prune();
    expect(server.seen.filter(({ method }) => method === "DELETE")).toEqual([]);
    for (const key of [1, 2]) {
      const object = server.objects.get(`p/roots/${String(key).padStart(16, "0")}`);
      if (object !== undefined) object.dateMs -= 72 * HOUR_MS;
    }
    await store.prune();
    const deleted = server.seen.filter(({ method }) => method === "DELETE").map(({ path }) => path.slice(-1));
    expect(deleted).toEqual(["1", "2"]);
    expect(await rootOf(opened(server).store)).toBe("root 2000");
  });

  test("where dates do not ascend, the numbers that are left have no gap", async () => {
    await using server = await S3Script.start();
    const { store } = opened(server);
    for (const number of [1, 2, 3, 4, 2_000]) server.put(rootName(number), `root ${number}`);
    server.objects.set("p/root", { body: Buffer.from(encodeRootHint(2_000)), tag: '"h"', dateMs: 0 });
    for (const number of [1, 3, 4]) {
      const object = server.objects.get(`p/${rootName(number)}`);
      if (object !== undefined) object.dateMs -= 72 * HOUR_MS;
    }
    await store.prune();
    expect(numbersOn(server)).toEqual([2, 3, 4, 2_000]);
  });

  test("numbers that a lagging hint leads to stay, however old they are", async () => {
    await using server = await S3Script.start();
    const { store } = opened(server);
    const name = (number: number) => `roots/${String(number).padStart(16, "0")}`;
    for (const number of [1, 2, 3, 2_000]) server.put(name(number), `root ${number}`);
    server.objects.set("p/root", { body: Buffer.from(encodeRootHint(0)), tag: '"h"', dateMs: 0 });
    server.aheadMs += 72 * HOUR_MS;
    await store.prune();
    expect([...server.objects.keys()].filter((key) => key.startsWith("p/roots/"))).toHaveLength(4);
  });

  test("a root that was created and could not be confirmed is unknown, not an error", async () => {
    await using server = await S3Script.start();
    const { store } = opened(server);
    await publish(store, "root 1");
    const root = await store.get("root");
    server.aheadMs += 36 * HOUR_MS;
    server.next("GET", ...Array.from({ length: 6 }, () => "cut" as const));
    await store.get("genesis").catch(() => {});
    server.next("GET", ...Array.from({ length: 6 }, () => "cut" as const));
    expect((await store.putIfMatch("root", bytes("root 2"), root?.token ?? "")).kind).toBe("unknown");
    expect(server.objects.has("p/roots/0000000000000002")).toBe(true);
  });

  test("whoever creates a bucket in another form at the same time finds that it exists", async () => {
    await using server = await S3Script.start();
    const [numbered, replaced] = [opened(server, "numbered").store, opened(server, "replaced").store];
    expect((await replaced.putNew("root", bytes("theirs"))).kind).toBe("stored");
    expect((await numbered.putNew("root", bytes("ours"))).kind).toBe("refused");
    expect(await rootOf(numbered)).toBe("theirs");
    expect([...server.objects.keys()]).toEqual(["p/root"]);
  });

  test("a creation that ended after its hint is not finished in the other form", async () => {
    await using server = await S3Script.start();
    server.objects.set("p/root", { body: Buffer.from(encodeRootHint(0)), tag: '"h"', dateMs: 0 });
    await expect(opened(server, "replaced").store.putNew("root", bytes("ours"))).rejects.toMatchObject({
      code: "bucket_exists",
      hint: expect.stringContaining("--roots numbered"),
    });
    expect([...server.objects.keys()]).toEqual(["p/root"]);
  });

  test("a creation that ended after its hint is finished by the next one", async () => {
    await using server = await S3Script.start();
    server.objects.set("p/root", { body: Buffer.from(encodeRootHint(0)), tag: '"h"', dateMs: 0 });
    const { store } = opened(server);
    expect(await store.get("root")).toBeUndefined();
    expect((await store.putNew("root", bytes("first"))).kind).toBe("stored");
    expect(await rootOf(store)).toBe("first");
  });

  test("other objects are replaced without conditions, after a look at what is there", async () => {
    await using server = await S3Script.start();
    const { store } = opened(server);
    await publish(store, "root 1");
    server.ignores = new Set(["if-match"]);
    server.put("lease/w", "old");
    const lease = await store.get("lease/w");
    server.seen.length = 0;
    expect((await store.putIfMatch("lease/w", bytes("new"), lease?.token ?? "")).kind).toBe("stored");
    expect(server.seen.map(({ method }) => method)).toEqual(["HEAD", "PUT"]);
    expect(server.seen.at(-1)?.headers["if-match"]).toBeUndefined();
  });

  test("a pack that others replaced or deleted since it was read is not replaced", async () => {
    await using server = await S3Script.start();
    const { store } = opened(server);
    await publish(store, "root 1");
    server.ignores = new Set(["if-match"]);
    for (const meanwhile of [() => server.put("pack/p", "theirs"), () => void server.objects.delete("p/pack/p")]) {
      server.put("pack/p", "damaged");
      const pack = await store.get("pack/p");
      meanwhile();
      const left = server.objects.get("p/pack/p");
      expect((await store.putIfMatch("pack/p", bytes("healed"), pack?.token ?? "")).kind).toBe("refused");
      expect(server.objects.get("p/pack/p")).toBe(left);
    }
  });
});

describe("numbered roots of a bucket that was emptied or replaced", () => {
  test("no root is published there, and the next look finds no bucket", async () => {
    await using server = await S3Script.start();
    const { store } = opened(server);
    for (let number = 1; number <= 3; number++) await publish(store, `root ${number}`);
    const root = await store.get("root");
    server.objects.clear();
    expect((await store.putIfMatch("root", bytes("void"), root?.token ?? "")).kind).toBe("unknown");
    expect(numbersOn(server)).toEqual([]);
    expect(await store.get("root")).toBeUndefined();
  });

  test("an idle reader notices within a minute, for one request a minute", async () => {
    await using server = await S3Script.start();
    let nowMs = Date.now();
    const { store } = opened(server, "numbered", () => nowMs);
    for (let number = 1; number <= 3; number++) await publish(store, `root ${number}`);
    server.seen.length = 0;
    for (let look = 0; look < 12; look++) {
      nowMs += 10_000;
      expect(await rootOf(store)).toBe("root 3");
    }
    expect(server.seen).toHaveLength(14);
    server.objects.clear();
    nowMs += 60_000;
    expect(await store.get("root")).toBeUndefined();
  });

  test.each([[2], [3]])("a new bucket with %s roots keeps its own, and is seen by the next look", async (count) => {
    await using server = await S3Script.start();
    const { store } = opened(server);
    for (let number = 1; number <= 3; number++) await publish(store, `root ${number}`);
    const root = await store.get("root");
    server.objects.clear();
    const { store: other } = opened(server);
    for (let number = 1; number <= count; number++) await publish(other, `new ${number}`);
    const outcome = await store.putIfMatch("root", bytes("void"), root?.token ?? "");
    expect(outcome.kind).toBe("unknown");
    expect(numbersOn(server)).toHaveLength(count);
    expect(await rootOf(store)).toBe(`new ${count}`);
    expect((await publish(other, "new and newer")).kind).toBe("stored");
  });

  test("where deleting its own root fails, the next look deletes it before it reads the newest", async () => {
    await using server = await S3Script.start();
    const { store } = opened(server);
    await publish(store, "root 1");
    const root = await store.get("root");
    server.objects.clear();
    const denied = { status: 403, body: "<Error><Code>AccessDenied</Code></Error>" };
    server.next("DELETE", denied, denied);
    expect((await store.putIfMatch("root", bytes("void"), root?.token ?? "")).kind).toBe("unknown");
    expect(numbersOn(server)).toEqual([2]);
    await expect(store.get("root")).rejects.toMatchObject({ code: "store_failed" });
    expect(await store.get("root")).toBeUndefined();
    expect(numbersOn(server)).toEqual([]);
  });

  test("a root whose answer stayed unknown is deleted by the next look", async () => {
    await using server = await S3Script.start();
    const { store } = opened(server);
    await publish(store, "root 1");
    const root = await store.get("root");
    server.objects.clear();
    server.next("PUT", "mute");
    server.next("GET", ...Array.from({ length: 6 }, () => "cut" as const));
    expect((await store.putIfMatch("root", bytes("void"), root?.token ?? "")).kind).toBe("unknown");
    expect(numbersOn(server)).toEqual([2]);
    expect(await store.get("root")).toBeUndefined();
    expect(numbersOn(server)).toEqual([]);
  });

  test("a root on which others have built stays", async () => {
    await using server = await S3Script.start();
    const { store } = opened(server);
    await publish(store, "root 1");
    const root = await store.get("root");
    server.objects.delete(`p/${rootName(1)}`);
    server.put(rootName(3), "root 3");
    expect((await store.putIfMatch("root", bytes("root 2"), root?.token ?? "")).kind).toBe("unknown");
    expect(numbersOn(server)).toEqual([2, 3]);
  });
});

describe("a wrong answer about the base of a new root", () => {
  const ABSENT = { status: 404, body: "<Error><Code>NoSuchKey</Code></Error>" };

  /** A bucket with one root, and the answer for it that lacks its end. */
  async function begun(server: S3Script) {
    const { store } = opened(server);
    await publish(store, "root 1");
    const token = (await store.get("root"))?.token ?? "";
    server.seen.length = 0;
    const cut = { status: 200, body: "root", headers: { etag: token } };
    return { store, cut, swap: () => store.putIfMatch("root", bytes("root 2"), token) };
  }

  const deletes = (server: S3Script) => server.seen.filter(({ method }) => method === "DELETE");

  test("once, changes nothing", async () => {
    for (const isCut of [true, false]) {
      await using server = await S3Script.start();
      const { cut, swap } = await begun(server);
      server.next("GET", isCut ? cut : ABSENT);
      expect((await swap()).kind).toBe("stored");
    }
  });

  test("again and again, deletes no root, and the next look confirms it", async () => {
    for (const isCut of [true, false]) {
      await using server = await S3Script.start();
      const { store, cut, swap } = await begun(server);
      server.next("GET", ...Array.from({ length: 2 }, () => (isCut ? cut : ABSENT)));
      expect((await swap()).kind).toBe("unknown");
      expect(await rootOf(store)).toBe("root 2");
      expect((await publish(store, "root 3")).kind).toBe("stored");
      expect(deletes(server)).toEqual([]);
      expect(numbersOn(server)).toEqual([1, 2, 3]);
    }
  });

  /** The base is gone, and another writer builds on our root while we delete it. */
  async function builtOnMeanwhile(server: S3Script) {
    const { store, swap } = await begun(server);
    server.objects.delete(`p/${rootName(1)}`);
    const { promise: after, resolve } = Promise.withResolvers<void>();
    server.next("DELETE", { status: 204, after });
    const swapping = swap();
    await expect.poll(() => deletes(server).length).toBe(1);
    server.objects.delete(`p/${rootName(2)}`);
    server.put(rootName(3), "root 3");
    return { store, swapping, resolve };
  }

  test("a root on which others build while it is deleted is put back", async () => {
    await using server = await S3Script.start();
    const { store, swapping, resolve } = await builtOnMeanwhile(server);
    resolve();
    expect((await swapping).kind).toBe("unknown");
    expect(numbersOn(server)).toEqual([2, 3]);
    // They noticed that its base is gone, too.
    server.objects.delete(`p/${rootName(3)}`);
    expect(await store.get("root")).toBeUndefined();
    expect(numbersOn(server)).toEqual([]);
  });

  test("a root that could not be put back is put back by the next look", async () => {
    await using server = await S3Script.start();
    const { store, swapping, resolve } = await builtOnMeanwhile(server);
    server.next("PUT", { status: 403, body: "<Error><Code>AccessDenied</Code></Error>" });
    resolve();
    expect((await swapping).kind).toBe("unknown");
    expect(numbersOn(server)).toEqual([3]);
    await store.get("root");
    expect(numbersOn(server)).toEqual([2, 3]);
    server.seen.length = 0;
    await store.get("root");
    expect(server.seen.filter(({ method }) => method !== "GET")).toEqual([]);
  });
});

test("the server is tested once before the first swap, and thoroughly before a bucket is made", async () => {
  await using server = await S3Script.start();
  const maker = opened(server, "replaced");
  await publish(maker.store, "root 1");
  await publish(maker.store, "root 2");
  expect(maker.checks).toEqual(["choose"]);
  const writer = opened(server, "replaced");
  await publish(writer.store, "root 3");
  await publish(writer.store, "root 4");
  expect(writer.checks).toEqual(["replaced"]);
});
