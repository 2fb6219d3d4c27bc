/**
 * Throughput of a master process on loopback, by a client that only sends and receives: 100 MiB in blocks of 64 KiB and of 4 KiB.
 *
 *     npm run build && node test/bench/master-http.mjs [only rows whose name has this]
 *
 * The data goes to $TMPDIR. $BENCH_NODE_ARGS are arguments for the master's node (--cpu-prof).
 */
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { Pool } from "undici";

const dist = new URL("../../dist/", import.meta.url);
const { cidOf } = await import(new URL("format/blocks/cid.js", dist));
const { encodeCarBlockHead, encodeCarHeader } = await import(new URL("format/blocks/car.js", dist));
const { signToken } = await import(new URL("crypto/token.js", dist));
const { walletSigner } = await import(new URL("crypto/wallet.js", dist));

const MiB = 1024 * 1024;
const signer = walletSigner(new Uint8Array(32).fill(0x42));
const only = process.argv[2] ?? "";
const folder = await mkdtemp(join(tmpdir(), "syncline-bench-"));
const master = spawn(
  process.execPath,
  [
    ...(process.env.BENCH_NODE_ARGS ?? "").split(" ").filter(Boolean),
    new URL("main.js", dist).pathname,
    "serve",
    "--json",
    "--data",
    join(folder, "data"),
    "--listen",
    "127.0.0.1:0",
    "--allow",
    signer.wallet,
  ],
  { stdio: ["ignore", "pipe", "inherit"] },
);
const [line] = await once(createInterface({ input: master.stdout }), "line");
const { origin } = JSON.parse(line);
const authorization = `Bearer ${await signToken(signer, Math.floor(Date.now() / 1000), 3600)}`;
const pool = new Pool(origin, { connections: 8, pipelining: 1 });

const blocksOf = (total, size) =>
  Array.from({ length: Math.floor(total / size) }, () => {
    const bytes = randomBytes(size);
    return { cid: cidOf("raw", bytes), bytes };
  });

const carsOf = (blocks, bytesEach) => {
  const cars = [];
  let parts = [encodeCarHeader()];
  let bytes = 0;
  for (const { cid, bytes: content } of blocks) {
    parts.push(encodeCarBlockHead(cid, content.length), content);
    bytes += content.length;
    if (bytes >= bytesEach) {
      cars.push(Buffer.concat(parts));
      parts = [encodeCarHeader()];
      bytes = 0;
    }
  }
  if (bytes > 0) cars.push(Buffer.concat(parts));
  return cars;
};

async function send(method, path, body, type = "application/json") {
  const answer = await pool.request({ method, path, body, headers: { authorization, "content-type": type } });
  let bytes = 0;
  for await (const piece of answer.body) bytes += piece.length;
  if (answer.statusCode !== 200) throw new Error(`${method} ${path}: ${answer.statusCode}`);
  return bytes;
}

async function concurrently(items, limit, work) {
  const queue = items.values();
  await Promise.all(
    Array.from({ length: limit }, async () => {
      for (const item of queue) await work(item);
    }),
  );
}

/** User and system time of the master, all threads. */
async function cpuMs() {
  const fields = (await readFile(`/proc/${master.pid}/stat`, "utf8")).split(") ")[1].split(" ");
  return { user: Number(fields[11]) * 10, system: Number(fields[12]) * 10 };
}

async function rss() {
  return Number(/VmRSS:\s+(\d+)/.exec(await readFile(`/proc/${master.pid}/status`, "utf8"))?.[1]) / 1024;
}

let pass = 0;

async function measure(name, bytes, requests, work) {
  if (!name.includes(only)) return;
  const before = await cpuMs();
  const from = performance.now();
  await work();
  const ms = performance.now() - from;
  const after = await cpuMs();
  const row = {
    name,
    MBps: Math.round(bytes / 1e3 / ms),
    requestsPerS: Math.round((requests / ms) * 1000),
    masterUserMs: after.user - before.user,
    masterSystemMs: after.system - before.system,
    masterRssMiB: Math.round(await rss()),
  };
  if (pass > 1) console.log(JSON.stringify(row));
}

try {
  // The first pass warms up the client's and the master's code.
  for (const size of [64 * 1024, 64 * 1024, 4 * 1024]) {
    pass++;
    const kib = size / 1024;
    const total = size === 65536 ? 100 * MiB : 20 * MiB;
    const single = blocksOf(total, size);
    for (const limit of [1, 8]) {
      const part = single.slice(
        (single.length / 2) * (limit === 1 ? 0 : 1),
        (single.length / 2) * (limit === 1 ? 1 : 2),
      );
      await measure(`PUT /v0/block, ${kib} KiB, ${limit} at once`, part.length * size, part.length, () =>
        concurrently(part, limit, ({ cid, bytes }) =>
          send("PUT", `/v0/block?cid=${cid}`, bytes, "application/octet-stream"),
        ),
      );
    }
    for (const [carMiB, limit] of [
      [4, 4],
      [16, 2],
      [60, 2],
    ]) {
      const cars = carsOf(blocksOf(total, size), carMiB * MiB);
      await measure(`POST /v1/blocks, ${kib} KiB, CARs of ${carMiB} MiB, ${limit} at once`, total, cars.length, () =>
        concurrently(cars, limit, (car) => send("POST", "/v1/blocks", car, "application/vnd.ipld.car")),
      );
    }
    const cids = single.map(({ cid }) => cid);
    const lists = Array.from({ length: Math.ceil(cids.length / 250) }, (_, at) => cids.slice(at * 250, at * 250 + 250));
    for (const limit of [1, 4]) {
      await measure(`POST /v1/blocks/get, ${kib} KiB, 250 a call, ${limit} at once`, total, lists.length, () =>
        concurrently(lists, limit, (list) => send("POST", "/v1/blocks/get", JSON.stringify({ cids: list }))),
      );
    }
    await measure(`GET /ipfs/…?format=raw, ${kib} KiB, 8 at once`, total, cids.length, () =>
      concurrently(cids, 8, (cid) => send("GET", `/ipfs/${cid}?format=raw`)),
    );
    const asked = Array.from({ length: 10 }, () => cids);
    await measure(`POST /v1/blocks/have, ${cids.length} known a call`, 0, asked.length, () =>
      concurrently(asked, 1, (list) => send("POST", "/v1/blocks/have", JSON.stringify({ cids: list }))),
    );
  }
} finally {
  await pool.close();
  master.kill("SIGTERM");
  await new Promise((resolve) => master.once("exit", resolve));
  await rm(folder, { recursive: true });
}
