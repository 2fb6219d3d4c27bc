/** Random histories of proposals from honest and dishonest writers: a root moves exactly when the proposal is legal. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import type { Cid, Lamport } from "../../../../src/base/ids.ts";
import { silentLog } from "../../../../src/base/log.ts";
import { systemRandom } from "../../../../src/base/random.ts";
import { walletSigner } from "../../../../src/crypto/wallet.ts";
import { skipSeq } from "../../../../src/format/commits/commit-body.ts";
import { BucketRoots } from "../../../../src/master/roots/bucket-roots.ts";
import { RootAlarm } from "../../../../src/master/roots/root-alarm.ts";
import { bucketRoutes } from "../../../../src/master/roots/routes.ts";
import { MemoryRootStore } from "../../../support/memory-root-store.ts";
import { certify, CommitChain } from "../../../support/commit-chain.ts";
import type { MadeCommit } from "../../../support/commit-chain.ts";
import { answerOf } from "../../../support/fake-call.ts";
import { ManualClock } from "../../../support/manual-clock.ts";
import { MemoryBlockStores } from "../../../support/memory-owner-blocks.ts";

const all = process.env["SYNCLINE_TEST_ALL"] !== undefined;

const chain = await CommitChain.create();
const strange = await certify(2, chain.genesis.cid, walletSigner(new Uint8Array(32).fill(9)));
const expired = await certify(3, chain.genesis.cid, chain.owner, 1_600_000_000);
const elsewhere = await CommitChain.create(5);

/** What is wrong with a proposal, and the status that it is refused with. */
const FAULTS = {
  none: 200,
  "a block is missing": 409,
  "another bucket's": 409,
  "a stranger's device": 403,
  "an expired device": 403,
  "seq + 2": 409,
} as const;

const proposals = fc.array(
  fc.record({
    /** Which of the commits accepted so far it follows: the newest, or one further back. */
    back: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.nat(3) }),
    /** Which one its condition names. */
    named: fc.oneof({ weight: 4, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.nat(3) }),
    fault: fc.oneof(
      { weight: 3, arbitrary: fc.constant("none" as const) },
      { weight: 1, arbitrary: fc.constantFrom(...(Object.keys(FAULTS) as (keyof typeof FAULTS)[])) },
    ),
    /** How many are sent at once. */
    twins: fc.integer({ min: 1, max: 3 }),
  }),
  { minLength: 1, maxLength: 12 },
);

test("a root moves exactly when a proposal is legal, to one of those sent at once", { timeout: 120_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(proposals, async (schedule) => {
      const stores = new MemoryBlockStores();
      const blocks = await stores.of(chain.owner.wallet);
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
      const accepted: MadeCommit[] = [];
      const ask = (method: "GET" | "PUT", headers: Record<string, string> = {}, root?: Cid) =>
        answerOf(routes, {
          method,
          path: "/v1/buckets/demo/root",
          caller: chain.owner.wallet,
          headers,
          json: { root },
        });

      const first = propose("first", undefined, "none");
      await blocks.put(first.blocks);
      expect(await ask("PUT", { "if-none-match": "*" }, first.commit.cid)).toMatchObject({ status: 200 });
      accepted.push(first);

      for (const [step, { back, named, fault, twins }] of schedule.entries()) {
        const [current, parent, condition] = [0, back, named].map((steps) =>
          accepted.at(-1 - Math.min(steps, accepted.length - 1)),
        );
        const made = Array.from({ length: twins }, (_, twin) => propose(`${step}.${twin}`, parent, fault));
        for (const { commit, blocks: own } of made) {
          await blocks.put(fault === "a block is missing" ? own.filter(({ cid }) => cid !== commit.body.tree) : own);
        }
        const headers = { "if-match": `"${condition?.commit.cid}"` };
        const answers = await Promise.all(made.map(({ commit }) => ask("PUT", headers, commit.cid)));
        const legal = condition !== current ? 412 : parent !== current ? 409 : FAULTS[fault];
        const [status, ...others] = answers.map((answer) => answer.status);
        expect(status).toBe(legal);
        expect(others).toEqual(others.map(() => (legal === 200 ? 412 : legal)));
        if (legal === 200) accepted.push(...made.slice(0, 1));
        const newest = { root: accepted.at(-1)?.commit.cid, version: accepted.length };
        expect(await ask("GET")).toMatchObject({ status: 200, json: newest });
      }
    }),
    { numRuns: all ? 500 : 15 },
  );
});

function propose(label: string, parent: MadeCommit | undefined, fault: keyof typeof FAULTS): MadeCommit {
  switch (fault) {
    case "another bucket's":
      return elsewhere.make(label, parent);
    case "a stranger's device":
      return chain.make(label, parent, {}, strange);
    case "an expired device":
      return chain.make(label, parent, {}, expired);
    case "seq + 2": {
      const seq = ((parent?.commit.body.seq ?? 0) + 2) as Lamport;
      return chain.make(label, parent, { seq, skip: skipSeq(seq) === 0 ? undefined : parent?.commit.cid });
    }
    default:
      return chain.make(label, parent);
  }
}
