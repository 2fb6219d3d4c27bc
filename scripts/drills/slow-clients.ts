/**
 * Slow clients at a master: four owners, each with eight uploads, downloads (half of them read slowly) and long lists, one kind after
 * another and then all at once. All are served in the end, and its memory stays below 200 MiB (300 without the flags).
 *   node scripts/drills/slow-clients.ts
 */
import { randomBytes } from "node:crypto";
import { Agent, request } from "node:http";
import type { Cid } from "../../src/base/ids.ts";
import type { Block } from "../../src/blocks/block-store.ts";
import { signToken } from "../../src/crypto/token.ts";
import { walletSigner } from "../../src/crypto/wallet.ts";
import { cidOf } from "../../src/format/blocks/cid.ts";
import { car } from "./commits.ts";
import { check, master, report, workspace } from "./lib.ts";

interface Owner {
  readonly token: string;
  readonly car: Buffer;
  readonly wanted: Buffer;
}

/** One of an owner's calls, which are numbered; answers the status. */
type Kind = (owner: Owner, at: number) => Promise<number | undefined>;

const MOST_MIB = 200;
const EACH = 8;
const space = workspace("slow-clients");
const wallets = [1, 2, 3, 4].map((seed) => walletSigner(Buffer.alloc(32, seed)));
const served = await master(space, {
  args: wallets.flatMap(({ wallet }) => ["--allow", wallet]),
  // As `service install` starts agents (NODE_FLAGS in src/runtime/memory.ts).
  flags: ["--max-semi-space-size=2", "--max-old-space-size=6144"],
});
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

const upload: Kind = ({ token, car: body }) => call(token, "/v1/blocks", body);
const download: Kind = ({ token, wanted }, at) => call(token, "/v1/blocks/get", wanted, at % 2 === 1);
const list: Kind = ({ token }) => call(token, "/v1/blocks/have", unknown);
await phase("uploads", upload);
await phase("downloads", download);
await phase("lists of 10,000", list);
await phase("all of it", upload, download, list);
agent.destroy();
check((await served.stop()) === 0, "the master ends well");

async function phase(name: string, ...kinds: readonly Kind[]) {
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
function call(token: string, path: string, body: Buffer, isSlow = false): Promise<number | undefined> {
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

function block(length: number): Block {
  const bytes = randomBytes(length);
  return { cid: cidOf("raw", bytes), bytes };
}

function asked(cids: readonly Cid[]) {
  return Buffer.from(JSON.stringify({ cids }));
}
