/**
 * TCP proxies before servers. A share of all exchanges (a request and its reply), and four times that of swaps, fail in one of
 * four ways, drawn from a seed:
 *   request   it never reaches the server
 *   reply     it reaches the server, its reply is cut off
 *   late      the client sees its connection cut; the request reaches the server up to seven seconds later
 *   slow      its reply comes up to nine seconds later, which is longer than clients wait
 *   node scripts/drills/faulty-proxies.ts SEED NAME=PORT…
 * Prints {"ports": {NAME: PORT}}. Takes lines on its standard input: {"share": 0.03} from then on, after which it prints
 * {"counts": {"NAME late": 12}} so far.
 */
import { type AddressInfo, connect, createServer } from "node:net";
import { createInterface } from "node:readline";
import { randomOf, report } from "./lib.ts";

type Fate = "pass" | "request" | "reply" | "late" | "slow";

const [LATE_MS, SLOW_MS] = [7_000, 9_000];
const [seed = "0", ...targets] = process.argv.slice(2);
const random = randomOf(Number(seed));
const counts: Record<string, number> = {};
let share = 0;

const ports: Record<string, number> = {};
for (const target of targets) {
  const [name = "", port] = target.split("=");
  ports[name] = await listen(name, Number(port));
}
report(JSON.stringify({ ports }));
for await (const line of createInterface(process.stdin)) {
  ({ share } = JSON.parse(line) as { share: number });
  report(JSON.stringify({ counts }));
}

async function listen(name: string, target: number): Promise<number> {
  const server = createServer({ noDelay: true }, (client) => {
    const upstream = connect({ port: target, host: "127.0.0.1", noDelay: true });
    let fate: Fate = "pass";
    let held: Buffer[] | undefined;
    client.on("data", (data) => {
      if (held === undefined) {
        held = [];
        fate = drawn(isSwap(data) ? `${name}'s swaps` : name);
      }
      if (fate === "request") return void client.destroy();
      if (fate !== "late") return void upstream.write(data);
      held.push(data);
      const request = Buffer.concat(held);
      if (!isWhole(name, request)) return;
      setTimeout(() => upstream.write(request), LATE_MS * random());
      client.destroy();
    });
    upstream.on("data", (data) => {
      held = undefined;
      if (fate === "late" || fate === "reply") {
        client.destroy();
        upstream.destroy();
      } else if (fate === "slow") {
        fate = "pass";
        upstream.pause();
        setTimeout(() => {
          client.write(data);
          upstream.resume();
        }, SLOW_MS * random());
      } else {
        client.write(data);
      }
    });
    for (const socket of [client, upstream]) socket.on("error", () => {});
    client.on("close", () => fate !== "late" && upstream.destroy());
    upstream.on("close", () => client.destroy());
  });
  await new Promise<void>((done) => void server.listen(0, "127.0.0.1", done));
  return (server.address() as AddressInfo).port;
}

/** Fails four times as often: of a root, over HTTP. */
function isSwap(data: Buffer): boolean {
  return /^PUT \/(v1|bucket)\/\S+\/root(s\/\d+)? HTTP\/1\.1\r\n/.test(data.toString("latin1", 0, 300));
}

function drawn(name: string): Fate {
  const fates: Fate[] = ["request", "request", "reply", "reply", "reply", "late", "late", "slow"];
  const likely = name.endsWith("swaps") ? 4 * share : share;
  const fate = random() < likely ? (fates[Math.floor(random() * fates.length)] ?? "pass") : "pass";
  const key = `${name} ${fate}`;
  counts[key] = (counts[key] ?? 0) + 1;
  return fate;
}

/** PostgreSQL's clients send a statement at once. */
function isWhole(name: string, request: Buffer): boolean {
  if (name === "postgres") return true;
  const end = request.indexOf("\r\n\r\n");
  if (end < 0) return false;
  const head = request.toString("latin1", 0, end);
  if (/\r\ntransfer-encoding: chunked/i.test(head)) return request.subarray(-5).equals(Buffer.from("0\r\n\r\n"));
  const length = /\r\ncontent-length: (\d+)/i.exec(head);
  return request.length >= end + 4 + Number(length?.[1] ?? 0);
}
