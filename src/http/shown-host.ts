/** The name to show for a server that listens on every interface: "0.0.0.0" is not an address that clients can use. */
import { networkInterfaces } from "node:os";

/** `host` itself, unless it means every interface: then the first of `names`, or this machine's first network address. */
export function shownHost(host: string, names: readonly string[] = []): string {
  if (host !== "0.0.0.0" && host !== "::") return host;
  const addresses = Object.values(networkInterfaces()).flatMap((addresses = []) => addresses);
  const outside = addresses.find(({ family, internal }) => !internal && family === "IPv4");
  return names[0] ?? outside?.address ?? "127.0.0.1";
}

/** "http://127.0.0.1:8888", for a server that listens on `host`. */
export function originOf(
  { host, names = [], tls }: { readonly host: string; readonly names?: readonly string[]; readonly tls?: unknown },
  port: number,
): string {
  const shown = shownHost(host, names);
  return `${tls === undefined ? "http" : "https"}://${shown.includes(":") ? `[${shown}]` : shown}:${port}`;
}
