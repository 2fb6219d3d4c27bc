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

test("a result of another master, which counts by itself, is not taken for the caller's", async () => {
  const server = await scriptedServer();
  const report = { packs: { before: 2, after: 1 }, bytes: { before: 20, after: 10 }, repackedBytes: 0 };
  const states = [
    { counter: "other", running: true, collected: { number: 7, ...report, dropped: 7 } },
    { counter: "other", running: false, collected: { number: 8, ...report, dropped: 8 } },
  ];
  const begun = [
    { counter: "first", number: 1 },
    { counter: "other", number: 8 },
  ];
  server.answer = ({ method }, response) => {
    if (method === "POST") json(response, 202, begun.shift() ?? {});
    else json(response, 200, states.shift() ?? {});
  };
  expect(await collect(server.origin)).toMatchObject({ dropped: 8 });
  expect([begun, states]).toEqual([[], []]);
});

function collect(origin: string) {
  const bearer = { token: async () => "token", refused: () => {} };
  const connection = new MasterConnection(origin, { bearer, clock: systemClock });
  onTestFinished(() => connection[Symbol.asyncDispose]());
  return collectAtMaster(connection, systemClock, { dryRun: false });
}
