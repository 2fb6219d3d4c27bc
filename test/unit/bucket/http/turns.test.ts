/** The line of a bucket at a master, as clients meet it. */
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from "vitest";
import { systemClock } from "../../../../src/base/clock.ts";
import { systemRandom } from "../../../../src/base/random.ts";
import type { Cid } from "../../../../src/base/ids.ts";
import { HttpRemote } from "../../../../src/bucket/http/http-remote.ts";
import { decodeCommit } from "../../../../src/format/commits/commit.ts";
import { walletBearer } from "../../../../src/net/bearer.ts";
import { MasterConnection } from "../../../../src/net/master-connection.ts";
import { json, scriptedServer } from "../../../support/scripted-server.ts";
import { madeSigned, publishSigned, SignedHistory } from "../../../support/signed-history.ts";
import { alice, bob, startTestMaster, type TestMaster } from "../../../support/test-master.ts";

let master: TestMaster;
let history: SignedHistory;
beforeAll(async () => {
  [master, history] = [await startTestMaster(), await SignedHistory.create()];
});
afterAll(() => master.stop());

function remoteAt(origin: string, bucket: string): HttpRemote {
  const bearer = walletBearer(async () => alice, systemClock);
  const connection = new MasterConnection(origin, { bearer, clock: systemClock });
  const name = { owner: "", bucket };
  const remote = new HttpRemote({
    address: `${origin}/${bucket}`,
    master: connection,
    name,
    clock: systemClock,
    random: systemRandom,
  });
  onTestFinished(() => remote[Symbol.asyncDispose]());
  return remote;
}

/** What `state` was when the remote had its turn; undefined: it had none. */
async function inTurn(remote: HttpRemote, state: () => boolean): Promise<boolean | undefined> {
  using turn = await remote.takeTurn();
  return turn && state();
}

describe("a master that gives turns", () => {
  test("gives one turn at a time, and the next once the previous one is over", async () => {
    const [one, other] = [remoteAt(master.origin, "lines"), remoteAt(master.origin, "lines")];
    await madeSigned(history, async () => one);
    const first = await one.takeTurn();
    expect(first?.waited).toBe(false);
    let over = false;
    const second = inTurn(other, () => over);
    over = true;
    first?.[Symbol.dispose]();
    expect(await second).toBe(true);
  });

  test("ends a turn with the swap that was sent in it, and accepts swaps without a turn", async () => {
    const [one, other] = [remoteAt(master.origin, "swaps"), remoteAt(master.origin, "swaps")];
    await madeSigned(history, async () => one);
    await publishSigned(history, other, "without", []);
    using _first = await one.takeTurn();
    let sent = false;
    const second = inTurn(other, () => sent);
    sent = true;
    await publishSigned(history, one, "with", []);
    expect(await second).toBe(true);
  });

  test("tells the current root with a turn", async () => {
    const [one, other] = [remoteAt(master.origin, "roots"), remoteAt(master.origin, "roots")];
    await madeSigned(history, async () => one);
    using first = await one.takeTurn();
    expect(first?.root).toEqual(await one.readRoot());
    const second = other.takeTurn();
    await publishSigned(history, one, "with", []);
    using turn = await second;
    expect(turn?.root).toMatchObject({ version: 2 });
    expect(turn?.root).toEqual(await other.readRoot());
  });

  test("sends with a turn the blocks of the root that are read first, so they need not be fetched", async () => {
    const remote = remoteAt(master.origin, "brought");
    await madeSigned(history, async () => remote);
    using turn = await remote.takeTurn();
    const calls = vi.spyOn(MasterConnection.prototype, "call");
    onTestFinished(() => calls.mockRestore());
    const { body } = decodeCommit(await remote.blocks.get(turn?.root?.commit as Cid));
    expect((await remote.blocks.getMany([body.kept, body.tree])).size).toBe(new Set([body.kept, body.tree]).size);
    const asked = () => calls.mock.calls.map(([{ path }]) => path).filter((path) => !path.endsWith("/turn"));
    expect(asked()).toEqual([]);
    await remote.blocks.get(body.genesis);
    expect(asked()).toHaveLength(1);
  });

  test("refuses a turn without access, or for a missing bucket, with the same status as a read of the root", async () => {
    const remote = remoteAt(master.origin, "private");
    await madeSigned(history, async () => remote);
    const path = `/v1/owners/${alice.wallet}/buckets/private/turn`;
    for (const method of ["POST", "DELETE"]) {
      expect((await master.call(path, { method }, bob)).status).toBe(403);
      expect((await master.call(path, { method }, null)).status).toBe(401);
    }
    expect((await master.call("/v1/buckets/nowhere/turn", { method: "POST" })).status).toBe(404);
    expect(await remoteAt(master.origin, "nowhere").takeTurn()).toBeUndefined();
  });
});

describe("an unusual master", () => {
  test("without turns is not asked for one", async () => {
    const server = await scriptedServer();
    expect(await remoteAt(server.origin, "old").takeTurn()).toBeUndefined();
    expect(server.seen).toEqual([]);
  });

  test("gives a turn even if the data sent with it is malformed", async () => {
    const server = await scriptedServer();
    server.capabilities = { formats: [1], turns: true };
    const said = { turn: "t", waited: true, root: 7, version: "x", blocks: [7, null, "", "%%", { a: 1 }] };
    server.answer = (_request, response) => json(response, 200, said);
    using turn = await remoteAt(server.origin, "strange").takeTurn();
    expect(turn).toMatchObject({ waited: true, root: undefined });
  });

  test.each([
    ["once is asked again", 1, 2],
    ["twice gives no turn", 2, 2],
  ])("that breaks off %s", async (_, times, calls) => {
    const server = await scriptedServer();
    server.capabilities = { formats: [1], turns: true };
    server.answer = (request, response) => {
      if (server.seen.length <= times) request.socket.destroy();
      else json(response, 200, { turn: "t", waited: true });
    };
    using turn = await remoteAt(server.origin, "restarted").takeTurn();
    expect(turn !== undefined).toBe(times < calls);
    expect(server.seen).toHaveLength(calls);
  });

  test.each([
    ["has no turn to give", 204, undefined],
    ["refuses", 503, { code: "arbiter_unreachable", message: "no" }],
    ["sends an invalid answer", 200, { turn: "a b\r\n", waited: "yes" }],
  ])("that %s gives no turn", async (_, status, value) => {
    const server = await scriptedServer();
    server.capabilities = { formats: [1], turns: true };
    server.answer = (_request, response) => {
      if (value !== undefined) return json(response, status, value);
      response.writeHead(status).end();
    };
    expect(await remoteAt(server.origin, "new").takeTurn()).toBeUndefined();
    expect(server.seen).toHaveLength(1);
  });
});
