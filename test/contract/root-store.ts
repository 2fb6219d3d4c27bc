/** What every RootStore must do. A store's own test file calls this with how to open a fresh one. */
import { expect, test } from "vitest";
import { hasCode } from "../../src/base/errors.ts";
import type { Cid } from "../../src/base/ids.ts";
import { cidOf } from "../../src/format/blocks/cid.ts";
import type { BucketName, RootStore } from "../../src/roots/root-store.ts";

const RACERS = 8;
const ROUNDS = 200;
const OWNER = `0x${"11".repeat(20)}`;

export interface RootStoreUnderTest {
  readonly open: () => Promise<RootStore>;
  /** The name of a bucket that the store can hold. */
  readonly name?: BucketName;
  /** Whether it holds that bucket only. */
  readonly single?: boolean;
  /** Whether it answers for the caller's own buckets only. */
  readonly ownOnly?: boolean;
  /** Makes what may follow these roots, for a store that looks at what becomes a root. */
  readonly commits?: MakeCommits;
}

/** The addresses of commits with these labels on top of a parent. */
export type MakeCommits = (labels: readonly string[], parent: Cid | undefined) => Promise<Cid[]>;

export function rootStoreContract({
  open,
  name,
  single = false,
  ownOnly = false,
  commits = labelled,
}: RootStoreUnderTest): void {
  const demo = name ?? { owner: OWNER, bucket: "demo" };
  const commit = async (label: string, parent?: Cid) => (await commits([label], parent))[0] ?? rootCid(label);

  test("an unknown bucket has no root", async () => {
    expect(await (await open()).get(demo)).toBeUndefined();
  });

  test("a bucket is created once", async () => {
    const store = await open();
    const [a, b] = [await commit("a"), await commit("b")];
    expect(await store.swap(demo, undefined, a)).toMatchObject({ kind: "committed", root: { version: 1 } });
    expect(await store.swap(demo, undefined, b)).toMatchObject({
      kind: "conflict",
      current: { commit: a, version: 1 },
    });
  });

  test("a swap from an outdated root reports the current one and changes nothing", async () => {
    const store = await open();
    const a = await commit("a");
    const [b, c] = [await commit("b", a), await commit("c", a)];
    await store.swap(demo, undefined, a);
    await store.swap(demo, a, b);
    expect(await store.swap(demo, a, c)).toMatchObject({ kind: "conflict", current: { commit: b, version: 2 } });
    expect(await store.get(demo)).toEqual({ commit: b, version: 2 });
  });

  test("a swap of a missing bucket is a conflict without a current root", async () => {
    const store = await open();
    const a = await commit("a");
    expect(await store.swap(demo, a, await commit("b", a))).toEqual({ kind: "conflict", current: undefined });
    expect(await store.get(demo)).toBeUndefined();
  });

  test("buckets and owners are independent of each other", async () => {
    const store = await open();
    await store.swap(demo, undefined, await commit("a"));
    for (const other of [
      { ...demo, bucket: "other" },
      { ...demo, owner: `0x${"22".repeat(20)}` },
    ]) {
      const answer = await store.get(other).catch((error: unknown) => error);
      const refused = hasCode(answer, "no_such_bucket") || hasCode(answer, "no_grant");
      expect(refused ? "refused" : answer).toBe(
        single || (ownOnly && other.owner !== demo.owner) ? "refused" : undefined,
      );
    }
  });

  test(`of ${RACERS} swaps that race from one root exactly one wins, in each of ${ROUNDS} rounds`, async () => {
    const store = await open();
    let root = await commit("start");
    await store.swap(demo, undefined, root);
    for (let round = 0; round < ROUNDS; round++) {
      const labels = Array.from({ length: RACERS }, (_, racer) => `${round}/${racer}`);
      const tries = await commits(labels, root);
      const outcomes = await Promise.all(tries.map((next) => store.swap(demo, root, next)));
      const winners = tries.filter((_, racer) => outcomes[racer]?.kind === "committed");
      expect(winners).toHaveLength(1);
      root = winners[0] ?? root;
      expect(await store.get(demo)).toEqual({ commit: root, version: round + 2 });
    }
  }, 60_000);
}

const labelled: MakeCommits = async (labels) => labels.map(rootCid);

export function rootCid(label: string): Cid {
  return cidOf("dag-cbor", Buffer.from(label));
}
