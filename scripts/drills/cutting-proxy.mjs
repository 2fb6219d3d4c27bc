/**
 * A TCP proxy before a master that fails swaps (PUT …/root) as a plan says, one word a swap, over and over:
 *   pass      nothing happens to it
 *   reply     it reaches the master, its reply is cut off
 *   request   it never reaches the master
 *   late      the client sees its connection cut; the request reaches the master a second later
 *   node scripts/drills/cutting-proxy.mjs TARGET_PORT PLAN        PLAN such as pass,reply,late
 * Prints {"port"}, then {"swap", "status"} for each swap: what the plan said and what the master answered, null if it was not asked.
 */
import { connect, createServer } from "node:net";
import { report } from "./lib.mjs";

const [target, planned] = process.argv.slice(2);
const plan = planned.split(",");
let swaps = 0;

const server = createServer((client) => {
  const upstream = connect(Number(target), "127.0.0.1");
  let fate = "pass";
  let swap;
  client.on("data", (data) => {
    if (swap === undefined && isSwap(data)) {
      fate = plan[swaps++ % plan.length];
      swap = [];
    }
    if (swap === undefined) return void upstream.write(data);
    swap.push(data);
    const request = Buffer.concat(swap);
    if (!isWhole(request)) return;
    if (fate === "pass" || fate === "reply") return void upstream.write(request);
    client.destroy();
    upstream.destroy();
    if (fate === "request") return told(fate, null);
    setTimeout(() => deliverLate(request), 1_000);
  });
  upstream.on("data", (data) => {
    if (swap === undefined) return void client.write(data);
    swap = undefined;
    told(fate, statusOf(data));
    if (fate === "pass") return void client.write(data);
    client.destroy();
    upstream.destroy();
  });
  for (const [one, other] of [
    [client, upstream],
    [upstream, client],
  ]) {
    one.on("error", () => {});
    one.on("close", () => other.destroy());
  }
});
server.listen(0, "127.0.0.1", () => report(JSON.stringify({ port: server.address().port })));

function deliverLate(request) {
  const upstream = connect(Number(target), "127.0.0.1", () => upstream.write(request));
  upstream.once("data", (data) => {
    told("late", statusOf(data));
    upstream.destroy();
  });
  upstream.on("error", () => {});
}

function isSwap(data) {
  return /^PUT \/v1\/\S+\/root HTTP\/1\.1\r\n/.test(data.toString("latin1", 0, 300));
}

function isWhole(request) {
  const end = request.indexOf("\r\n\r\n");
  if (end < 0) return false;
  const length = /\r\ncontent-length: (\d+)/i.exec(request.toString("latin1", 0, end));
  return request.length >= end + 4 + Number(length?.[1] ?? 0);
}

function statusOf(data) {
  return Number(data.toString("latin1", 9, 12));
}

function told(swap, status) {
  report(JSON.stringify({ swap, status }));
}
