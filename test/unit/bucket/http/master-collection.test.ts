/** What a client says of a collection at a master. */
import { expect, onTestFinished, test } from "vitest";
import { systemClock } from "../../../../src/base/clock.ts";
import { collectAtMaster } from "../../../../src/bucket/http/master-collection.ts";
import { MasterConnection } from "../../../../src/net/master-connection.ts";
import { json, scriptedServer } from "../../../support/scripted-server.ts";

test.each([
  ["bucket_locked", "bucket_locked"],
  ["root_rolled_back", "root_rolled_back"],
  ["arbiter_unreachable", "arbiter_unreachable"],
  ["wallet_not_allowed", "store_failed"],
  [7, "store_failed"],
])("a master that says %s is reported as %s", async (said, code) => {
  const server = await scriptedServer();
  server.answer = ({ method }, response) => {
    if (method === "POST") return json(response, 202, { number: 1 });
    json(response, 200, { running: false, collected: { number: 1, error: { code: said, message: "why" } } });
  };
  await expect(collect(server.origin)).rejects.toMatchObject({
    code,
    message: expect.stringContaining("did not collect: why"),
  });
});

const REPORT = { packs: { before: 2, after: 1 }, bytes: { before: 20, after: 10 }, repackedBytes: 0 };

/** A server whose answers come from several masters, and what is left of them. */
async function several(begun: object[], states: object[]) {
  const server = await scriptedServer();
  server.answer = ({ method }, response) => {
    if (method === "POST") json(response, 202, begun.shift() ?? {});
    else json(response, 200, states.shift() ?? {});
  };
  return { origin: server.origin, left: () => [begun, states] };
}

test("a result of another master, which counts by itself, is not taken for the caller's", async () => {
  const other = { counter: "other", running: true, collected: { number: 7, ...REPORT, dropped: 7 } };
  const begun = [
    { counter: "first", number: 1 },
    { counter: "other", number: 8 },
  ];
  const own = { counter: "other", running: false, collected: { number: 8, ...REPORT, dropped: 8 } };
  const { origin, left } = await several(begun, [...Array.from({ length: 8 }, () => other), own]);
  expect(await collect(origin)).toMatchObject({ dropped: 8 });
  expect(left()).toEqual([[], []]);
});

test("behind a balancer that asks masters in turn, one collection is begun", async () => {
  const other = { counter: "other", running: false, collected: { number: 7, ...REPORT, dropped: 7 } };
  const first = { counter: "first", running: true };
  const states = Array.from({ length: 10 }, () => [first, other]).flat();
  const ended = { counter: "first", running: false, collected: { number: 1, ...REPORT, dropped: 1 } };
  const { origin, left } = await several([{ counter: "first", number: 1 }], [...states, ended]);
  expect(await collect(origin)).toMatchObject({ dropped: 1 });
  expect(left()).toEqual([[], []]);
});

function collect(origin: string) {
  const bearer = { token: async () => "token", refused: () => {} };
  const connection = new MasterConnection(origin, { bearer, clock: systemClock });
  onTestFinished(() => connection[Symbol.asyncDispose]());
  return collectAtMaster(connection, { ...systemClock, sleep: async () => {} }, { dryRun: false });
}
