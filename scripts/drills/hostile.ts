/**
 * Hostile clients of a master: slow ones, idle ones by the thousand, bodies over every limit, CARs cut off, wrong hashes, questions by the
 * million, roots over absurd blocks. Each gets a clear answer or is cut; memory stays where it was; another client is served meanwhile.
 *   node scripts/drills/hostile.ts [IDLE connections, default 10000]      a small one, below 1000, leaves out what takes half a minute
 */
import { spawn } from "node:child_process";
import { signToken } from "../../src/crypto/token.ts";
import { walletSigner } from "../../src/crypto/wallet.ts";
import { cidOf } from "../../src/format/blocks/cid.ts";
import { car } from "./commits.ts";
import { check, checkout, join, master, percentile, pidOf, report, syncline, workspace } from "./lib.ts";

interface Seen {
  readonly answers: readonly string[];
  /** How often each answer came. */
  readonly times: Readonly<Record<string, number>>;
}

const idle = Number(process.argv[2] ?? 10_000);
const full = idle >= 1_000;
const space = workspace("hostile");
const guest = walletSigner(Buffer.alloc(32, 0x07));
const arbiter = await master(space, { args: ["--allow", guest.wallet] });
syncline(space, ["init", arbiter.url()]);
const now = Math.floor(Date.now() / 1_000);
const own = await signToken(walletSigner(Buffer.alloc(32, 0x42)), now, 3_600);
const theirs = await signToken(guest, now, 3_600);
const size = full ? 1 : 0.1;

await phase("nobody else", undefined, 0, () => true);
const calm = arbiter.rssMiB();
await phase("bodies over limits", "tooLong", 1, ({ answers }) =>
  answers.every((answer) => /: (4\d\d |200 limit_exceeded)/.test(answer)),
);
await phase("CARs cut off", "truncated", 200 * size, ({ answers }) =>
  answers.every((answer) => /: (400 |200)/.test(answer)),
);
await phase("wrong hashes", "wrong", 1, ({ answers }) =>
  answers.every((answer) => /: (200|422 cid_mismatch|400 bad_cid)/.test(answer)),
);
await phase(`${(1_000_000 * size).toLocaleString("en")} to have`, "have", 100 * size, ({ answers }) =>
  answers.every((answer) => answer.endsWith(": 200")),
);
await phase("roots over absurd blocks", "roots", full ? 5 : 1, ({ answers }) =>
  answers.every((answer) => /: (200|400 format_invalid|409 missing_blocks)/.test(answer)),
);
// Those that are idle longest are closed (MAX_IDLE_CONNECTIONS); the other client has one or two.
await phase(`${idle} idle connections`, "idle", idle, ({ times }) => {
  const [open = NaN] = Object.values(times);
  return open >= Math.min(idle, 2_048) - 10 && open <= 2_048;
});
if (full) {
  await phase("500 slow headers", "slowHeaders", 500, ({ answers }) =>
    answers.every((answer) => /^(408|cut)/.test(answer)),
  );
  // More than one owner's share of memory holds: none is set aside for a body that hardly begins.
  await phase("200 slow bodies", "slowBodies", 200, ({ answers }) =>
    answers.every((answer) => /^(408|cut)/.test(answer)),
  );
}
const after = await settled();
report(`resident memory: ${calm.toFixed(0)} MiB before, ${after.toFixed(0)} MiB after`);
check(after < calm + 200, "memory is back near where it was");
check((await arbiter.stop()) === 0, "the master ends well");
check(arbiter.verify().status === 0, "verify --data is clean");

/** One attack, while another client reads its root and uploads a block of 1 KiB all the time. */
async function phase(name: string, kind: string | undefined, count: number, isClear: (seen: Seen) => boolean) {
  const attack = kind === undefined ? undefined : attackWith(kind, count);
  const watched = await serveMeanwhile(attack?.ended ?? new Promise((done) => setTimeout(done, 3_000)));
  const told = attack?.text().trim().split("\n").at(-1) || "{}";
  const answers = JSON.parse(told) as Record<string, number>;
  const { times, rss, failures } = watched;
  report(
    `${name}: another client p50 ${percentile(times, 0.5).toFixed(0)} ms, p99 ${percentile(times, 0.99).toFixed(0)} ms (${times.length} calls); memory at most ${rss.toFixed(0)} MiB`,
  );
  for (const [answer, times] of Object.entries(answers)) report(`      ${times} × ${answer}`);
  if (failures.length > 0) report(`      failed: ${failures.slice(0, 3).join(", ")}`);
  check(failures.length === 0, `${name}: the other client is served`);
  if (attack !== undefined)
    check(
      Object.keys(answers).length > 0 && isClear({ answers: Object.keys(answers), times: answers }),
      `${name}: clear answers`,
    );
}

function attackWith(kind: string, count: number) {
  const child = spawn(
    process.execPath,
    [join(checkout, "scripts/drills/hostile-client.ts"), kind, new URL(arbiter.origin).port, String(count)],
    { env: { ...process.env, SYNCLINE_DRILL_TOKEN: theirs }, stdio: ["ignore", "pipe", "inherit"] },
  );
  space.pids.add(pidOf(child));
  let text = "";
  child.stdout.on("data", (data: Buffer) => (text += data.toString()));
  return { text: () => text, ended: new Promise((done) => child.once("close", done)) };
}

async function serveMeanwhile(ended: Promise<unknown>) {
  const attack = { over: false };
  void ended.then(() => (attack.over = true));
  const times: number[] = [];
  const failures: string[] = [];
  let rss = 0;
  for (let turn = 0; !attack.over || turn < 20; turn++) {
    const began = performance.now();
    const failure = await (turn % 2 === 0 ? readRoot() : upload(turn)).catch((error: Error) =>
      String(error.cause ?? error),
    );
    if (failure !== undefined) failures.push(failure);
    times.push(performance.now() - began);
    rss = Math.max(rss, arbiter.rssMiB());
    await new Promise((next) => setTimeout(next, 20));
  }
  return { times, rss, failures };
}

async function readRoot(): Promise<string | undefined> {
  const response = await fetch(`${arbiter.origin}/v1/buckets/demo/root`, {
    headers: { authorization: `Bearer ${own}` },
  });
  await response.arrayBuffer();
  return response.status === 200 ? undefined : `root: ${response.status}`;
}

async function upload(turn: number): Promise<string | undefined> {
  const bytes = Buffer.alloc(1_024, `${turn} ${performance.now()} `);
  const body = car([{ cid: cidOf("raw", bytes), bytes }]);
  const response = await fetch(`${arbiter.origin}/v1/blocks`, {
    method: "POST",
    body,
    headers: { authorization: `Bearer ${own}` },
  });
  const { stored } = (await response.json()) as { stored: number };
  return stored === 1 ? undefined : `upload: ${response.status}`;
}

/** Memory once nothing is under way: the collector takes a few seconds. */
async function settled(): Promise<number> {
  let least = Infinity;
  for (let times = 0; times < (full ? 20 : 4); times++) {
    await readRoot();
    least = Math.min(least, arbiter.rssMiB());
    await new Promise((next) => setTimeout(next, 500));
  }
  return least;
}
