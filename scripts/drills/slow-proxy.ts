/**
 * A TCP proxy before a master whose replies come a few milliseconds late. Stopped (SIGSTOP), it puts the master out of reach.
 *   node scripts/drills/slow-proxy.ts TARGET_PORT DELAY_MS
 * Prints {"port"}.
 */
import { type AddressInfo, connect, createServer } from "node:net";
import { report } from "./lib.ts";

const [target = Number.NaN, delayMs] = process.argv.slice(2).map(Number);

const server = createServer((client) => {
  const upstream = connect(target, "127.0.0.1");
  client.on("data", (data) => upstream.write(data));
  upstream.on("data", (data) => setTimeout(() => client.write(data), delayMs));
  for (const [one, other] of [
    [client, upstream],
    [upstream, client],
  ] as const) {
    one.on("error", () => {});
    one.on("close", () => other.destroy());
  }
});
server.listen(0, "127.0.0.1", () => report(JSON.stringify({ port: (server.address() as AddressInfo).port })));
