/** A proxy in front of a master, which a test makes hang, refuse, or cut connections behind a request. */
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { onTestFinished } from "vitest";

export interface MasterProxy {
  readonly origin: string;
  /** "cut": the master carries a swap out, and its answer is lost. */
  mode: "pass" | "hang" | "refuse" | "cut";
  /** Swaps that reached the proxy. */
  swaps: number;
}

export async function masterProxy(target: string): Promise<MasterProxy> {
  const sockets = new Set<Socket>();
  const { hostname, port } = new URL(target);
  const server = createServer((client) => {
    if (proxy.mode === "refuse") return client.destroy();
    const upstream = connect(Number(port), hostname);
    let isSwap = false;
    client.on("data", (part) => {
      if (proxy.mode === "refuse") return client.destroy();
      const text = part.toString("latin1");
      if (/^[A-Z]+ \//.test(text)) isSwap = text.startsWith("PUT ");
      if (text.startsWith("PUT ")) proxy.swaps++;
      if (proxy.mode !== "hang") upstream.write(part);
    });
    upstream.on("data", (part) => {
      if (proxy.mode === "cut" && isSwap) client.destroy();
      else if (proxy.mode !== "hang") client.write(part);
    });
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => {
        sockets.delete(socket);
        other.destroy();
      });
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  });
  const proxy: MasterProxy = {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    mode: "pass",
    swaps: 0,
  };
  return proxy;
}
