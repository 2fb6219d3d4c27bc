/**
 * What idle connections cost a master process: memory with none and with many (10,000 unless told), each after one request, and how
 * long another client waits for an answer meanwhile.
 *
 *     npm run build && node test/bench/master-idle.mjs [connections]
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

const wanted = Number(process.argv[2] ?? 10_000);
const folder = await mkdtemp(join(tmpdir(), "syncline-bench-"));
const main = new URL("../../dist/main.js", import.meta.url).pathname;
const args = [main, "serve", "--json", "--data", join(folder, "data"), "--listen", "127.0.0.1:0"];
const master = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "ignore"] });
const [line] = await once(createInterface({ input: master.stdout }), "line");
const { origin } = JSON.parse(line);
const { port } = new URL(origin);
const sockets = [];

async function rssMiB() {
  return Number(/VmRSS:\s+(\d+)/.exec(await readFile(`/proc/${master.pid}/status`, "utf8"))?.[1]) / 1024;
}

async function open() {
  const socket = connect({ host: "127.0.0.1", port: Number(port) });
  sockets.push(socket);
  await once(socket, "connect");
  socket.write("GET /health HTTP/1.1\r\nHost: x\r\n\r\n");
  await once(socket, "data");
}

async function row(name) {
  const times = [];
  for (let round = 0; round < 200; round++) {
    const from = performance.now();
    const answer = await fetch(`${origin}/health`);
    await answer.text();
    times.push(performance.now() - from);
  }
  times.sort((a, b) => a - b);
  const ms = (share) => Math.round((times[Math.floor(times.length * share)] ?? 0) * 100) / 100;
  console.log(JSON.stringify({ name, masterRssMiB: Math.round(await rssMiB()), p50Ms: ms(0.5), p99Ms: ms(0.99) }));
}

try {
  await row("warm-up");
  await row("no idle connections");
  for (const share of [0.5, 1]) {
    while (sockets.length < wanted * share) await Promise.all(Array.from({ length: 100 }, open));
    await row(`${sockets.length} idle connections`);
  }
  for (const socket of sockets) socket.destroy();
  await row("they are closed");
} finally {
  master.kill("SIGTERM");
  await once(master, "exit");
  await rm(folder, { recursive: true });
}
