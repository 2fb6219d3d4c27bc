/** An address that leads to one server and later to another, as a name or a balancer does after a failover. */
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { onTestFinished } from "vitest";

export interface MovedAddress {
  readonly url: string;
  /** Where new connections go. Those that are open stay, unless they are cut. */
  leadTo(url: string, others?: "cut"): void;
  /** From now on nothing arrives at either end. */
  silence(): void;
}

export async function addressOf(target: string): Promise<MovedAddress> {
  const open = new Set<Socket>();
  const cut = () => {
    for (const socket of open) socket.destroy();
  };
  let { hostname, port } = new URL(target);
  let isSilent = false;
  const server = createServer((client) => {
    const upstream = connect(Number(port), hostname);
    client.on("data", (part) => void (isSilent || upstream.write(part)));
    upstream.on("data", (part) => void (isSilent || client.write(part)));
    for (const socket of [client, upstream]) {
      open.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => {
        open.delete(socket);
        client.destroy();
        upstream.destroy();
      });
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(async () => {
    cut();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  });
  const url = new URL(target);
  url.port = String((server.address() as AddressInfo).port);
  return {
    url: url.href,
    leadTo(next, others) {
      ({ hostname, port } = new URL(next));
      if (others === "cut") cut();
    },
    silence() {
      isSilent = true;
    },
  };
}
