/** Watching a bucket: what a client is told, when, and how much of it is kept for slow ones. */
import { describe, expect, test } from "vitest";
import { WATCH_THROTTLE_MS } from "../../../../src/base/throttle.ts";
import { silentLog } from "../../../../src/base/log.ts";
import { MAX_WATCHES, WATCH_COMMENT_MS } from "../../../../src/master/limits.ts";
import { systemRandom } from "../../../../src/base/random.ts";
import type { Answer } from "../../../../src/master/http/route.ts";
import { BucketRoots } from "../../../../src/master/roots/bucket-roots.ts";
import { RootAlarm } from "../../../../src/master/roots/root-alarm.ts";
import { bucketRoutes } from "../../../../src/master/roots/routes.ts";
import { MemoryRootStore } from "../../../support/memory-root-store.ts";
import { CommitChain } from "../../../support/commit-chain.ts";
import type { MadeCommit } from "../../../support/commit-chain.ts";
import { answerOf } from "../../../support/fake-call.ts";
import { ManualClock } from "../../../support/manual-clock.ts";
import { MemoryBlockStores } from "../../../support/memory-owner-blocks.ts";

describe("a watch", () => {
  test("begins with the current root and sends each newer one", async () => {
    const { watch, publish } = await bucket();
    const first = await publish();
    const events = await watch();
    expect(await events.next()).toEqual(`:\n\n${event(first, 1)}`);
    const news = events.next();
    const second = await publish();
    expect(await news).toBe(event(second, 2));
  });

  test("resumes after the last event that its client has", async () => {
    const { watch, publish } = await bucket();
    await publish();
    const second = await publish();
    const fresh = await watch({ "last-event-id": "2" });
    expect(await fresh.next()).toBe(":\n\n");
    const stale = await watch({ "last-event-id": "1" });
    expect(await stale.next()).toContain(event(second, 2));
    const third = await publish();
    expect(await fresh.next()).toBe(event(third, 3));
  });

  test("begins with the current root when the last event is unknown", async () => {
    const { watch, publish } = await bucket();
    const first = await publish();
    for (const id of ["7", "-1", "x", ""]) {
      expect(await (await watch({ "last-event-id": id })).next()).toContain(event(first, 1));
    }
  });

  test("sends a keep-alive every 15 s", async () => {
    const { watch, publish, clock } = await bucket();
    await publish();
    const events = await watch();
    await events.next();
    for (let times = 0; times < 3; times++) {
      let told: string | undefined;
      void events.next().then((text) => (told = text));
      await clock.advance(WATCH_COMMENT_MS - 1);
      expect(told).toBeUndefined();
      await clock.advance(1);
      expect(told).toBe(":\n\n");
    }
  });

  test("sends a slow client only the newest root", async () => {
    const { watch, publish } = await bucket();
    await publish();
    const events = await watch();
    await events.next();
    await publish();
    await publish();
    const newest = await publish();
    expect(await events.next()).toBe(event(newest, 4));
  });

  test("throttles roots in quick succession to one per 100 ms, and sends the last", async () => {
    const { watch, publish, clock } = await bucket();
    await publish();
    const events = await watch();
    await events.next();
    const told: (string | undefined)[] = [];
    const hear = async () => {
      for (let text = await events.next(); text !== undefined; text = await events.next()) told.push(text);
    };
    void hear();
    const made: MadeCommit[] = [];
    for (let count = 0; count < 30; count++) {
      made.push(await publish());
      await clock.advance(10);
    }
    await clock.advance(WATCH_THROTTLE_MS);
    expect(told.length).toBeLessThanOrEqual(5);
    expect(told.at(-1)).toBe(event(made.at(-1) as MadeCommit, 31));
  });

  test("sends many watchers together at most a hundred roots a second, and each of them the last", async () => {
    const { watch, publish, clock } = await bucket();
    await publish();
    const told: string[][] = [];
    for (let watcher = 0; watcher < 32; watcher++) {
      const events = await watch();
      await events.next();
      const own: string[] = [];
      told.push(own);
      void (async () => {
        for (let text = await events.next(); text !== undefined; text = await events.next()) own.push(text);
      })();
    }
    const made: MadeCommit[] = [];
    for (let count = 0; count < 200; count++) {
      made.push(await publish());
      await clock.advance(10);
    }
    await clock.advance(500);
    expect(Math.max(...told.map(({ length }) => length))).toBeLessThanOrEqual(9);
    expect(new Set(told.map((own) => own.at(-1)))).toEqual(new Set([event(made.at(-1) as MadeCommit, 201)]));
  });

  test("sends only its own bucket's roots", async () => {
    const { watch, publish, clock } = await bucket();
    await publish();
    const events = await watch();
    await events.next();
    const other = await CommitChain.create(2);
    const news = events.next();
    await publish(other, "other");
    await clock.advance(WATCH_COMMENT_MS);
    expect(await news).toBe(":\n\n");
  });

  test("ends when its client goes away, even while it waits", async () => {
    const { watch, publish } = await bucket();
    await publish();
    const gone = new AbortController();
    const events = await watch({}, gone.signal);
    await events.next();
    const waiting = events.next();
    gone.abort();
    expect(await waiting).toBeUndefined();
    expect(await events.next()).toBeUndefined();
  });

  test("is 404 where there is no bucket", async () => {
    const { ask } = await bucket();
    expect(await ask()).toMatchObject({ status: 404, json: { code: "no_such_bucket" } });
  });

  test(`is 429 beside ${MAX_WATCHES} others of one owner, until one of them ends`, async () => {
    const { ask, watch, publish } = await bucket();
    await publish();
    const gone = new AbortController();
    const watches = [await watch({}, gone.signal)];
    for (let count = 1; count < MAX_WATCHES; count++) watches.push(await watch());
    expect(await ask()).toMatchObject({ status: 429, json: { code: "too_many_watches" } });
    gone.abort();
    expect(await ask()).toMatchObject({ status: 200 });
    expect(await ask()).toMatchObject({ status: 429 });
    await watches.at(-1)?.close();
    expect(await ask()).toMatchObject({ status: 200 });
  });

  test("of a missing bucket does not count against the limit", async () => {
    const { ask, publish } = await bucket();
    for (let count = 0; count < MAX_WATCHES; count++) await ask();
    await publish();
    expect(await ask()).toMatchObject({ status: 200 });
  });
});

function event(made: MadeCommit, version: number): string {
  return `event: root\nid: ${version}\ndata: {"root":"${made.commit.cid}","version":${version}}\n\n`;
}

async function bucket() {
  const chain = await CommitChain.create();
  const stores = new MemoryBlockStores();
  const clock = new ManualClock();
  const roots = new BucketRoots({
    roots: new MemoryRootStore(),
    stores,
    clock,
    log: silentLog,
    alarm: new RootAlarm(silentLog),
    compareAndSwap: true,
  });
  const routes = bucketRoutes(roots, clock, systemRandom);
  const caller = chain.owner.wallet;
  const last = new Map<string, MadeCommit>();
  const publish = async (of = chain, name = "demo"): Promise<MadeCommit> => {
    const parent = last.get(name);
    const made = of.make(`state ${(parent?.commit.body.seq ?? 0) + 1}`, parent);
    await (await stores.of(caller)).put(made.blocks);
    const condition = parent === undefined ? { "if-none-match": "*" } : { "if-match": `"${parent.commit.cid}"` };
    const answer = await answerOf(routes, {
      method: "PUT",
      path: `/v1/buckets/${name}/root`,
      caller,
      headers: condition,
      json: { root: made.commit.cid },
    });
    expect(answer.status).toBe(200);
    last.set(name, made);
    return made;
  };
  const ask = (headers: Record<string, string> = {}, signal?: AbortSignal): Promise<Answer> =>
    answerOf(routes, { method: "GET", path: "/v1/buckets/demo/watch", caller, headers, ...(signal && { signal }) });
  const watch = async (headers: Record<string, string> = {}, signal?: AbortSignal) => {
    const { status, body } = await ask(headers, signal);
    expect(status).toBe(200);
    const stream = (body as AsyncIterable<Uint8Array>)[Symbol.asyncIterator]();
    return {
      /** The next piece as text; undefined at the end. */
      next: async () => {
        const { done, value } = await stream.next();
        return done ? undefined : Buffer.from(value).toString();
      },
      close: async () => void (await stream.return?.()),
    };
  };
  return { chain, clock, publish, ask, watch };
}
