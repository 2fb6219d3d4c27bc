/** Blocks at a master that answers unlike a healthy one. */
import { expect, onTestFinished, test } from "vitest";
import { systemClock } from "../../../src/base/clock.ts";
import { HttpBlockStore } from "../../../src/blocks/http-block-store.ts";
import { MasterConnection } from "../../../src/net/master-connection.ts";
import { raw } from "../../support/opaque-commits.ts";
import { json, scriptedServer } from "../../support/scripted-server.ts";

const [one, two] = [raw("one"), raw("two")];

test.each([
  ["get", (store: HttpBlockStore) => store.get(one.cid)],
  ["getMany", (store: HttpBlockStore) => store.getMany([one.cid, two.cid])],
  ["has", (store: HttpBlockStore) => store.has([one.cid])],
  ["putMany", (store: HttpBlockStore) => store.putMany([one])],
])("a master that cannot reach its arbiter is an unreachable store, which readers ask again: %s", async (_, call) => {
  const server = await scriptedServer();
  server.answer = (_request, response) => json(response, 503, { code: "arbiter_unreachable", message: "no arbiter" });
  const bearer = { token: async () => "token", refused: () => {} };
  const connection = new MasterConnection(server.origin, { bearer, clock: systemClock });
  onTestFinished(() => connection[Symbol.asyncDispose]());
  const store = new HttpBlockStore(connection, systemClock);
  await expect(call(store)).rejects.toMatchObject({
    code: "store_unreachable",
    message: expect.stringContaining("no arbiter"),
  });
});
