/** What is said about a server whose certificate is refused. */
import { once } from "node:events";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { systemClock } from "../../../src/base/clock.ts";
import { systemRandom } from "../../../src/base/random.ts";
import { makeSelfSigned } from "../../../src/crypto/self-signed.ts";
import { sessionBearer } from "../../../src/net/bearer.ts";
import { MasterConnection } from "../../../src/net/master-connection.ts";

const DAY_MS = 24 * 60 * 60 * 1000;

test.each([
  ["that nobody vouches for: it can be trusted", { trusted: false }, /--tls-ca FILE/],
  ["that has expired: trusting it is no help", { fromDays: -2, toDays: -1 }, /renew its certificate/],
  ["that is not valid yet: the clock may be wrong", { fromDays: 1, toDays: 2 }, /clock of this machine/],
  ["for another name: the name matters", { name: "other.example" }, /name that the certificate has/],
])("a certificate %s", async (_, made, hint) => {
  const { trusted = true, fromDays = -1, toDays = 1, name = "127.0.0.1" } = made as Made;
  const nowMs = Date.now();
  const pem = makeSelfSigned([name], nowMs + fromDays * DAY_MS, nowMs + toDays * DAY_MS, systemRandom);
  const server = createServer(pem).listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => void server.close());
  const options = { bearer: sessionBearer("token"), clock: systemClock, tlsCa: trusted ? pem.cert : undefined };
  await using master = new MasterConnection(`https://127.0.0.1:${(server.address() as AddressInfo).port}`, options);
  const call = master.call({ method: "GET", path: "/health", open: true });
  await expect(call).rejects.toMatchObject({ code: "store_unreachable", hint: expect.stringMatching(hint) });
});

interface Made {
  readonly trusted?: boolean;
  readonly fromDays?: number;
  readonly toDays?: number;
  readonly name?: string;
}
