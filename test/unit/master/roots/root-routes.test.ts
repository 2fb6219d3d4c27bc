/** The calls on a bucket's root, as a client sees them. */
import { describe, expect, test } from "vitest";
import { SynclineError } from "../../../../src/base/errors.ts";
import type { Cid } from "../../../../src/base/ids.ts";
import type { LogFields } from "../../../../src/base/log.ts";
import { OWNER_CHECKS_AT_ONCE } from "../../../../src/master/limits.ts";
import { silentLog } from "../../../../src/base/log.ts";
import { systemRandom } from "../../../../src/base/random.ts";
import type { Answer } from "../../../../src/master/http/route.ts";
import { BucketRoots } from "../../../../src/master/roots/bucket-roots.ts";
import { RootAlarm } from "../../../../src/master/roots/root-alarm.ts";
import { bucketRoutes } from "../../../../src/master/roots/routes.ts";
import { MemoryRootStore } from "../../../support/memory-root-store.ts";
import type { BucketName, Root, SwapOutcome } from "../../../../src/roots/root-store.ts";
import { CommitChain } from "../../../support/commit-chain.ts";
import type { MadeCommit } from "../../../support/commit-chain.ts";
import { answerOf } from "../../../support/fake-call.ts";
import { ManualClock } from "../../../support/manual-clock.ts";
import { MemoryBlockStores } from "../../../support/memory-owner-blocks.ts";

describe("reading a root", () => {
  test("returns root, version, time and tag", async () => {
    const { chain, create, read } = await master();
    const first = await create(chain);
    expect(await read()).toEqual({
      status: 200,
      headers: { etag: `"${first.commit.cid}"`, "cache-control": "private, no-cache" },
      json: { root: first.commit.cid, version: 1, updatedAt: "2026-01-01T00:00:00Z" },
    });
  });

  test("is 304 if the client holds the root, however the tag is written", async () => {
    const { chain, create, read } = await master();
    const { cid } = (await create(chain)).commit;
    for (const tag of [`"${cid}"`, `W/"${cid}"`, `"other", "${cid}"`, "*"]) {
      expect(await read({ "if-none-match": tag })).toMatchObject({ status: 304, headers: { etag: `"${cid}"` } });
    }
    for (const tag of ['"other"', cid, "", '"'])
      expect(await read({ "if-none-match": tag })).toMatchObject({ status: 200 });
  });

  test("is 404 without a bucket, and 403 for others' buckets, whether they exist or not", async () => {
    const { chain, create, ask } = await master();
    const stranger = (await CommitChain.create(1, 9)).owner.wallet;
    await create(chain);
    const { wallet } = chain.owner;
    const path = (owner: string) => `/v1/owners/${owner}/buckets/demo/root`;
    expect(await ask("GET", path(wallet))).toMatchObject({ status: 200 });
    expect(await ask("GET", path(wallet.toUpperCase().replace("0X", "0x")))).toMatchObject({ status: 200 });
    const missing = { status: 404, json: { code: "no_such_bucket" } };
    const forbidden = { status: 403, json: { code: "no_grant" } };
    expect(await ask("GET", "/v1/buckets/other/root")).toMatchObject(missing);
    expect(await ask("GET", "/v1/buckets/demo/root", { caller: stranger })).toMatchObject(missing);
    expect(await ask("GET", path(wallet), { caller: stranger })).toMatchObject(forbidden);
    expect(await ask("GET", path(wallet).replace("demo", "other"), { caller: stranger })).toMatchObject(forbidden);
    expect(await ask("GET", path("0x12"))).toMatchObject(forbidden);
  });

  test("is 400 for an invalid bucket name", async () => {
    const { ask } = await master();
    for (const name of ["Demo", "-demo", ".demo", "a".repeat(64), "a%2Fb", "a%00", "%F0%9F%98%80"]) {
      expect(await ask("GET", `/v1/buckets/${name}/root`)).toMatchObject({
        status: 400,
        json: { code: "name_invalid" },
      });
    }
    expect(await ask("GET", `/v1/buckets/${"a".repeat(63)}/root`)).toMatchObject({ status: 404 });
  });

  test("works while the arbiter is unreachable, marked as stale", async () => {
    const { chain, create, read, roots } = await master();
    const { cid } = (await create(chain)).commit;
    await read();
    roots.away = true;
    expect(await read()).toMatchObject({ status: 200, json: { root: cid, stale: true } });
  });

  test("while the arbiter is unreachable shows the last swap, even if an older answer arrives later", async () => {
    const { chain, create, store, swap, read, roots } = await master();
    const first = await create(chain);
    const second = await store(chain.make("b", first));
    const slow = Promise.withResolvers<void>();
    roots.told = slow.promise;
    const overtaken = read();
    await swap(second, { "if-match": "*" });
    slow.resolve();
    await overtaken;
    roots.away = true;
    expect(await read()).toMatchObject({ json: { root: second.commit.cid, stale: true } });
  });

  test("while the arbiter is unreachable shows the last swap, even if it was never read", async () => {
    const { chain, create, store, swap, read, roots } = await master();
    const first = await create(chain);
    await read();
    const second = await store(chain.make("b", first));
    await swap(second, { "if-match": "*" });
    roots.away = true;
    const { json } = await read();
    expect(json).toMatchObject({ root: second.commit.cid, version: 2, stale: true });
    expect(json).toMatchObject({ updatedAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/) });
  });

  test("fails while the arbiter is unreachable if nothing is known of the bucket", async () => {
    const { roots, read } = await master();
    roots.away = true;
    await expect(read()).rejects.toMatchObject({ code: "arbiter_unreachable" });
  });
});

describe("swapping a root", () => {
  test("creates a bucket, and replaces its root", async () => {
    const { chain, create, swap, store } = await master();
    const first = await create(chain);
    const second = await store(chain.make("b", first));
    expect(await swap(second, { "if-match": `"${first.commit.cid}"` })).toEqual({
      status: 200,
      headers: { etag: `"${second.commit.cid}"` },
      json: { root: second.commit.cid, version: 2 },
    });
  });

  test("is 428 without a condition", async () => {
    const { chain, swap, store } = await master();
    const first = await store(chain.make("a", undefined));
    expect(await swap(first, {})).toMatchObject({ status: 428, json: { code: "condition_missing" } });
  });

  test("accepts tag lists and the star as in RFC 9110; a weak tag never matches", async () => {
    const { chain, create, swap, store } = await master();
    let current = await create(chain);
    for (const tags of ['"other", "ROOT"', '"ROOT" , ', "*", '"ROOT"']) {
      const next = await store(chain.make(tags, current));
      const cid = current.commit.cid;
      expect(await swap(next, { "if-match": 'W/"ROOT"'.replace("ROOT", cid) })).toMatchObject({ status: 412 });
      expect(await swap(next, { "if-match": tags.replace("ROOT", cid) })).toMatchObject({ status: 200 });
      current = next;
    }
  });

  test("is 400 for an invalid condition", async () => {
    const { chain, create, swap, store } = await master();
    const first = await create(chain);
    const { cid } = first.commit;
    const next = await store(chain.make("b", first));
    const bad = [
      { "if-match": cid },
      { "if-match": `'${cid}'` },
      { "if-match": "" },
      { "if-match": `"${cid}` },
      { "if-match": `"${cid}" "x"` },
      { "if-match": `"${cid}", *` },
      { "if-none-match": `"${cid}"` },
      { "if-none-match": "" },
      { "if-match": `"${cid}"`, "if-none-match": "*" },
    ];
    for (const headers of bad) {
      expect(await swap(next, headers)).toMatchObject({ status: 400, json: { code: "bad_condition" } });
    }
  });

  test("is 412 with the current root if that differs, also when creating a bucket that exists", async () => {
    const { chain, create, swap, store } = await master();
    const first = await create(chain);
    const second = await store(chain.make("b", first));
    const current = { status: 412, json: { code: "conflict", current: first.commit.cid, version: 1 } };
    expect(await swap(second, { "if-match": '"other"' })).toMatchObject(current);
    expect(await swap(second, { "if-none-match": "*" })).toMatchObject(current);
  });

  test("is 412 with null when there is no bucket", async () => {
    const { chain, swap, store } = await master();
    const first = await store(chain.make("a", undefined));
    const none = { status: 412, json: { code: "conflict", current: null, version: null } };
    expect(await swap(first, { "if-match": '"other"' })).toMatchObject(none);
    expect(await swap(first, { "if-match": "*" })).toMatchObject(none);
  });

  test("by two writers from one root is 200 for one, and 412 with the winner for the other", async () => {
    const { chain, create, swap, store } = await master();
    const first = await create(chain);
    const two = await Promise.all(["b", "c"].map((label) => store(chain.make(label, first))));
    const headers = { "if-match": `"${first.commit.cid}"` };
    const [won, lost] = await Promise.all(two.map((next) => swap(next, headers)));
    expect(won).toMatchObject({ status: 200 });
    expect(lost).toMatchObject({ status: 412, json: { current: two[0]?.commit.cid, version: 2 } });
  });

  test("is 400 for a body that names no root", async () => {
    const { ask } = await master();
    const headers = { "if-none-match": "*" };
    for (const json of [undefined, null, [], "root", {}, { root: 1 }]) {
      expect(await ask("PUT", PATH, { headers, json })).toMatchObject({
        status: 400,
        json: { code: "malformed_request" },
      });
    }
    for (const root of ["", "x", "Qm", "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi"]) {
      expect(await ask("PUT", PATH, { headers, json: { root } })).toMatchObject({
        status: 400,
        json: { code: "bad_cid" },
      });
    }
  });

  test("is 503 while the arbiter is unreachable, and says that nothing changed", async () => {
    const { chain, create, swap, store, roots } = await master();
    const first = await create(chain);
    const next = await store(chain.make("b", first));
    roots.away = true;
    const answer = await swap(next, { "if-match": "*" });
    expect(answer).toMatchObject({ status: 503, json: { code: "arbiter_unreachable", outcome: "unchanged" } });
  });

  test.each([1, 2, 3])(
    "never replaces a root other than the one in its condition, moved before read %d",
    async (look) => {
      const { chain, create, swap, store, roots, read } = await master();
      const first = await create(chain);
      const second = await store(chain.make("b", first));
      const third = await store(chain.make("c", second));
      const name = { owner: chain.owner.wallet, bucket: "demo" };
      let looks = 0;
      roots.looked = async () => {
        if (++looks === look) await roots.swap(name, first.commit.cid, second.commit.cid);
      };
      const outcome = await swap(third, { "if-match": `"${first.commit.cid}"` }).catch((error: unknown) => error);
      expect(outcome).not.toMatchObject({ status: 200 });
      expect(await read()).not.toMatchObject({ json: { root: third.commit.cid } });
    },
  );

  test("looks up the outcome when the arbiter does not know it", async () => {
    const { chain, create, swap, store, roots } = await master();
    const first = await create(chain);
    const second = await store(chain.make("b", first));
    roots.faults.push("lost");
    const unknown = { status: 503, json: { code: "arbiter_unreachable", outcome: "unknown" } };
    expect(await swap(second, { "if-match": "*" })).toMatchObject(unknown);
    roots.faults.push("committed-unseen");
    expect(await swap(second, { "if-match": "*" })).toMatchObject({ status: 200, json: { version: 2 } });
  });

  test("does not begin once nobody waits for it", async () => {
    const { chain, create, swap, store, read } = await master();
    const first = await create(chain);
    const next = await store(chain.make("b", first));
    await expect(swap(next, { "if-match": "*" }, AbortSignal.abort())).rejects.toMatchObject({ name: "AbortError" });
    expect(await read()).toMatchObject({ json: { root: first.commit.cid } });
  });

  test(`runs at most ${OWNER_CHECKS_AT_ONCE} checks per owner at once, and an abandoned one leaves the queue`, async () => {
    const { chain, ask, store, blocks } = await master();
    const first = await store(chain.make("a", undefined));
    const [opened, gate] = [Promise.withResolvers<void>(), { now: 0, most: 0 }];
    const complete = blocks.complete.bind(blocks);
    blocks.complete = async (cids) => {
      gate.most = Math.max(gate.most, ++gate.now);
      await opened.promise;
      gate.now--;
      return complete(cids);
    };
    const create = (index: number, signal?: AbortSignal) => {
      const [headers, json] = [{ "if-none-match": "*" }, { root: first.commit.cid }];
      return ask("PUT", `/v1/buckets/bucket-${index}/root`, { headers, json, ...(signal && { signal }) });
    };
    const gone = new AbortController();
    const swaps = Array.from({ length: 3 * OWNER_CHECKS_AT_ONCE }, (_, index) => create(index));
    const abandoned = create(99, gone.signal);
    gone.abort();
    await expect(abandoned).rejects.toMatchObject({ name: "AbortError" });
    opened.resolve();
    for (const { status } of await Promise.all(swaps)) expect(status).toBe(200);
    expect(gate.most).toBe(OWNER_CHECKS_AT_ONCE);
  });

  test("without comparing loses one of two writers' work, and warns at startup", async () => {
    const { chain, create, swap, store, warnings } = await master({ compareAndSwap: false });
    const first = await create(chain);
    const headers = { "if-match": `"${first.commit.cid}"` };
    for (const label of ["b", "c"]) {
      expect(await swap(await store(chain.make(label, first)), headers)).toMatchObject({ status: 200 });
    }
    expect(warnings.join()).toMatch(/WITHOUT comparing/);
  });
});

describe("listing buckets", () => {
  test("returns the caller's own buckets by name, with roots, versions and commit totals", async () => {
    const { chain, create, ask, blocks } = await master();
    const other = await CommitChain.create(2);
    const foreign = await CommitChain.create(1, 9);
    const roots = { demo: await create(chain), alpha: await create(other, "alpha") };
    await create(foreign, "zeta");
    blocks.remove(roots.alpha.commit.cid);
    const row = { version: 1, updatedAt: "2026-01-01T00:00:00Z" };
    expect(await ask("GET", "/v1/buckets")).toMatchObject({
      status: 200,
      json: {
        buckets: [
          { bucket: "alpha", root: roots.alpha.commit.cid, ...row, totals: null },
          { bucket: "demo", root: roots.demo.commit.cid, ...row, totals: { files: 1, directories: 0, bytes: 1 } },
        ],
        next: null,
      },
    });
  });

  test("continues after a given name", async () => {
    const { chain, ask, roots } = await master();
    const name = (index: number) => `bucket-${String(index).padStart(5, "0")}`;
    const { cid } = chain.make("a", undefined).commit;
    for (let index = 0; index < 1_001; index++)
      await roots.swap({ owner: chain.owner.wallet, bucket: name(index) }, undefined, cid);
    const first = (await ask("GET", "/v1/buckets")).json as { buckets: { bucket: string }[]; next: string };
    expect([first.buckets.length, first.next]).toEqual([1_000, name(999)]);
    const rest = (await ask("GET", `/v1/buckets?after=${first.next}`)).json;
    expect(rest).toMatchObject({ buckets: [{ bucket: name(1_000) }], next: null });
  });

  test("refuses a list that is to continue after a name with a zero byte", async () => {
    const { ask } = await master();
    expect(await ask("GET", "/v1/buckets?after=%00")).toMatchObject({ status: 400, json: { code: "name_invalid" } });
    expect(await ask("GET", "/v1/buckets?after=Of%20other%20software")).toMatchObject({ status: 200 });
  });
});

const PATH = "/v1/buckets/demo/root";

/** Roots whose arbiter can be away, and lose what it answers. */
class FaultyRoots extends MemoryRootStore {
  away = false;
  /** When what was read of a row is told. */
  told = Promise.resolve();
  /** Called before the root is told. */
  looked: () => Promise<void> = async () => {};
  readonly faults: ("lost" | "committed-unseen")[] = [];

  override async row(name: BucketName) {
    this.#reach();
    const row = await super.row(name);
    await this.told;
    return row;
  }

  override async get(name: BucketName): Promise<Root | undefined> {
    this.#reach();
    await this.looked();
    return super.get(name);
  }

  override async swap(name: BucketName, expected: Cid | undefined, next: Cid): Promise<SwapOutcome> {
    const fault = this.faults.shift();
    if (fault === undefined) return super.swap(name, expected, next);
    if (fault === "committed-unseen") await super.swap(name, expected, next);
    return { kind: "unknown", cause: new Error("the reply was lost") };
  }

  #reach(): void {
    if (this.away) throw new SynclineError("arbiter_unreachable", "The arbiter does not answer.");
  }
}

async function master({ compareAndSwap = true } = {}) {
  const chain = await CommitChain.create();
  const stores = new MemoryBlockStores();
  const roots = new FaultyRoots();
  const warnings: string[] = [];
  const log = { ...silentLog, warn: (message: string, _fields?: LogFields) => void warnings.push(message) };
  const clock = new ManualClock();
  const alarm = new RootAlarm(silentLog);
  const routes = bucketRoutes(
    new BucketRoots({ roots, stores, clock, log, alarm, compareAndSwap }),
    clock,
    systemRandom,
  );
  const ask = (
    method: "GET" | "PUT",
    path: string,
    call: {
      caller?: typeof chain.owner.wallet;
      headers?: Record<string, string>;
      json?: unknown;
      signal?: AbortSignal;
    } = {},
  ): Promise<Answer> => answerOf(routes, { method, path, caller: chain.owner.wallet, ...call });
  const store = async (made: MadeCommit, owner = chain.owner.wallet) => {
    await (await stores.of(owner)).put(made.blocks);
    return made;
  };
  const swap = (made: MadeCommit, headers: Record<string, string>, signal?: AbortSignal) =>
    ask("PUT", PATH, { headers, json: { root: made.commit.cid }, ...(signal && { signal }) });
  const create = async (of: CommitChain, bucket = "demo") => {
    const caller = of.owner.wallet;
    const first = await store(of.make("a", undefined), caller);
    const headers = { "if-none-match": "*" };
    const answer = await ask("PUT", `/v1/buckets/${bucket}/root`, {
      caller,
      headers,
      json: { root: first.commit.cid },
    });
    expect(answer.status).toBe(200);
    return first;
  };
  const read = (headers: Record<string, string> = {}) => ask("GET", PATH, { headers });
  const blocks = await stores.of(chain.owner.wallet);
  return { chain, ask, store, swap, create, read, roots, blocks, warnings };
}
