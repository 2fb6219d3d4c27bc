/**
 * Slow clients at a master: four owners, each with eight uploads, downloads (half of them read slowly) and long lists, one kind after
 * another and then all at once. All are served in the end, and its memory stays below 200 MiB.
 *   node scripts/drills/slow-clients.mjs
 */
import { randomBytes } from "node:crypto";
import { Agent, request } from "node:http";
import { signToken } from "../../dist/crypto/token.js";
import { walletSigner } from "../../dist/crypto/wallet.js";
import { cidOf } from "../../dist/format/blocks/cid.js";
import { car } from "./commits.mjs";
import { check, master, report, workspace } from "./lib.mjs";

const MOST_MIB = 200;
const EACH = 8;
const space = workspace("slow-clients");
const wallets = [1, 2, 3, 4].map((seed) => walletSigner(Buffer.alloc(32, seed)));
const served = await master(space, { args: wallets.flatMap(({ wallet }) => ["--allow", wallet]) });
const agent = new Agent({ keepAlive: true, maxSockets: 256 });
const now = Math.floor(Date.now() / 1_000);
const owners = await Promise.all(
  wallets.map(async (wallet) => {
    const blocks = Array.from({ length: 220 }, () => block(256 * 1_024));
    const cids = blocks.map(({ cid }) => cid);
    return { token: await signToken(wallet, now, 3_600), car: car(blocks), wanted: asked(cids) };
  }),
);
const unknown = asked(Array.from({ length: 10_000 }, () => block(8).cid));

const upload = ({ token, car: body }) => call(token, "/v1/blocks", body);
const download = ({ token, wanted }, at) => call(token, "/v1/blocks/get", wanted, at % 2 === 1);
const list = ({ token }) => call(token, "/v1/blocks/have", unknown);
await phase("uploads", upload);
await phase("downloads", download);
await phase("lists of 10,000", list);
await phase("all of it", upload, download, list);
agent.destroy();
check((await served.stop()) === 0, "the master ends well");

async function phase(name, ...kinds) {
  let most = 0;
  const timer = setInterval(() => (most = Math.max(most, served.rssMiB())), 20);
  const calls = owners.flatMap((owner) =>
    kinds.flatMap((kind) => Array.from({ length: EACH }, (_, at) => kind(owner, at))),
  );
  const statuses = await Promise.all(calls);
  clearInterval(timer);
  report(`${name}: memory at most ${most.toFixed(0)} MiB`);
  check(
    statuses.every((status) => status === 200),
    `${name}: all are served`,
  );
  check(most < MOST_MIB, `${name}: memory stays below ${MOST_MIB} MiB`);
}

/** The status of the answer, once all of it came. */
function call(token, path, body, isSlow = false) {
  return new Promise((done, fail) => {
    const headers = { authorization: `Bearer ${token}`, "content-length": body.length };
    const { hostname: host, port } = new URL(served.origin);
    const sent = request({ host, port, method: "POST", path, agent, headers }, (answer) => {
      answer.on("end", () => done(answer.statusCode)).on("error", fail);
      if (!isSlow) return answer.resume();
      const timer = setInterval(() => answer.read(), 10);
      answer.on("readable", () => {}).on("close", () => clearInterval(timer));
    });
    sent.on("error", fail).end(body);
  });
}

function block(length) {
  const bytes = randomBytes(length);
  return { cid: cidOf("raw", bytes), bytes };
}

function asked(cids) {
  return Buffer.from(JSON.stringify({ cids }));
}
