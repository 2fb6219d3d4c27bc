/** Blocks that synchronous calls read: fetched once for all who wait, each of whom has its own time. */
import { expect, test } from "vitest";
import { nextTurn } from "../../../src/base/concurrency.ts";
import { SynclineError } from "../../../src/base/errors.ts";
import type { Cid } from "../../../src/base/ids.ts";
import { cidOf } from "../../../src/format/blocks/cid.ts";
import { Loader } from "../../../src/vfs/loader.ts";
import { ManualClock } from "../../support/manual-clock.ts";

const bytes = Buffer.from("contents");
const cid = cidOf("raw", bytes);

test("a read that joins another's fetch tries once more when that fetch times out", async () => {
  const answers: PromiseWithResolvers<Map<Cid, Uint8Array>>[] = [];
  const getMany = () => {
    const answer = Promise.withResolvers<Map<Cid, Uint8Array>>();
    answers.push(answer);
    return answer.promise;
  };
  const blocks = { get: () => expect.unreachable(), getMany };
  const loader = new Loader({ blocks, clock: new ManualClock(), nodeBytes: 1e6, contentBytes: 1e6, timeoutMs: 30_000 });
  const first = loader.load([cid]);
  const second = loader.load([cid]);
  await expect.poll(() => answers.length).toBe(1);
  answers[0]?.reject(new SynclineError("store_unreachable", "The store does not answer."));
  await expect.poll(() => answers.length).toBe(2);
  answers[1]?.resolve(new Map([[cid, bytes]]));
  await Promise.all([first, second]);
  expect(answers).toHaveLength(2);
});

test("a read does not fail for a damaged block that another call fetches with its own", async () => {
  const damaged = cidOf("raw", Buffer.from("damaged"));
  const getMany = async (cids: readonly Cid[]) => {
    await nextTurn();
    if (cids.includes(damaged)) throw new SynclineError("block_corrupt", "A block is damaged.");
    return new Map(cids.map((each) => [each, bytes]));
  };
  const blocks = { get: () => expect.unreachable(), getMany };
  const loader = new Loader({ blocks, clock: new ManualClock(), nodeBytes: 1e6, contentBytes: 1e6, timeoutMs: 30_000 });
  loader.readAhead([cid, damaged]);
  await loader.load([cid]);
  await expect(loader.load([damaged])).rejects.toMatchObject({ code: "block_corrupt" });
});

test("a read that is repeated just after its time was over fails at once, and a later one waits again", async () => {
  const other = cidOf("raw", Buffer.from("other"));
  let asked = 0;
  const getMany = () => {
    asked++;
    return new Promise<never>(() => {});
  };
  const blocks = { get: () => expect.unreachable(), getMany };
  const clock = new ManualClock();
  const loader = new Loader({ blocks, clock, nodeBytes: 1e6, contentBytes: 1e6, timeoutMs: 30_000 });
  const late = expect.objectContaining({ code: "read_timeout" });
  const read = (cids: readonly Cid[]) => loader.load(cids).catch((error: unknown) => error);
  const first = read([cid, other]);
  await clock.advance(30_000);
  expect(await first).toEqual(late);
  expect(await Promise.race([read([other]), nextTurn()])).toEqual(late);
  await clock.advance(1_000);
  const [later, beside] = [read([cid]), read([other])];
  await clock.advance(29_999);
  expect(clock.count).toBe(2);
  await clock.advance(1);
  expect(await Promise.all([later, beside])).toEqual([late, late]);
  expect(asked).toBe(1);
});

test("a loader that may not fetch ahead fetches only what is needed", async () => {
  const asked: (readonly Cid[])[] = [];
  const getMany = async (cids: readonly Cid[]) => {
    asked.push(cids);
    return new Map(cids.map((each) => [each, bytes]));
  };
  const blocks = { get: () => expect.unreachable(), getMany };
  const loader = new Loader({ blocks, clock: new ManualClock(), nodeBytes: 1e6, contentBytes: 1e6, timeoutMs: 30_000 });
  loader.fetchesAhead = false;
  loader.readAhead([cid]);
  await nextTurn();
  expect(asked).toEqual([]);
  await loader.load([cid]);
  expect(asked).toEqual([[cid]]);
  const other = cidOf("raw", Buffer.from("other"));
  loader.fetchesAhead = true;
  loader.readAhead([other]);
  loader.dropAhead();
  await nextTurn();
  expect(asked).toEqual([[cid]]);
  loader.readAhead([other]);
  await nextTurn();
  expect(asked).toEqual([[cid], [other]]);
});
