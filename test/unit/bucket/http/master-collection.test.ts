/** What a client says of a collection that a master did not carry out. */
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
  const bearer = { token: async () => "token", refused: () => {} };
  const connection = new MasterConnection(server.origin, { bearer, clock: systemClock });
  onTestFinished(() => connection[Symbol.asyncDispose]());
  const collected = collectAtMaster(connection, systemClock, { dryRun: false });
  await expect(collected).rejects.toMatchObject({ code, message: expect.stringContaining("did not collect: why") });
});
