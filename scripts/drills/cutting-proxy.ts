/**
 * A TCP proxy before a master or an S3 server that fails swaps (PUT …/root, …/roots/N) as a plan says, one word a swap, over and over:
 *   pass      nothing happens to it
 *   reply     it reaches the server, its reply is cut off
 *   request   it never reaches the server
 *   late      the client sees its connection cut; the request reaches the server a second later
 *   node scripts/drills/cutting-proxy.ts TARGET_PORT PLAN        PLAN such as pass,reply,late
 * Prints {"port"}, then {"swap", "status"} for each swap: what the plan said and what the server answered, null if it was not asked.
 */
import { type AddressInfo, connect, createServer } from "node:net";
import { report } from "./lib.ts";

const [target, planned] = process.argv.slice(2);
if (planned === undefined) throw new Error("no plan is given");
const plan = planned.split(",");
let swaps = 0;

const server = createServer((client) => {
  const upstream = connect(Number(target), "127.0.0.1");
  let fate = "pass";
  let swap: Buffer[] | undefined;
  client.on("data", (data) => {
    if (swap === undefined && isSwap(data)) {
      fate = plan[swaps++ % plan.length] ?? fate;
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
  ] as const) {
    one.on("error", () => {});
    one.on("close", () => other.destroy());
  }
});
server.listen(0, "127.0.0.1", () => report(JSON.stringify({ port: (server.address() as AddressInfo).port })));

function deliverLate(request: Buffer) {
  const upstream = connect(Number(target), "127.0.0.1", () => upstream.write(request));
  upstream.once("data", (data) => {
    told("late", statusOf(data));
    upstream.destroy();
  });
  upstream.on("error", () => {});
}

function isSwap(data: Buffer) {
  return /^PUT \/(v1|bucket)\/\S+\/root(s\/\d+)? HTTP\/1\.1\r\n/.test(data.toString("latin1", 0, 300));
}

function isWhole(request: Buffer) {
  const end = request.indexOf("\r\n\r\n");
  if (end < 0) return false;
  const length = /\r\ncontent-length: (\d+)/i.exec(request.toString("latin1", 0, end));
  return request.length >= end + 4 + Number(length?.[1] ?? 0);
}

function statusOf(data: Buffer) {
  return Number(data.toString("latin1", 9, 12));
}

function told(swap: string, status: number | null) {
  report(JSON.stringify({ swap, status }));
}
