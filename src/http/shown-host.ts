/** Under which name a server that listens on every interface can be reached: "0.0.0.0" is no address that anybody can call. */
import { networkInterfaces } from "node:os";

/** `host` itself, unless it stands for every interface: then the first of `names`, or this machine's first address in a network. */
export function shownHost(host: string, names: readonly string[] = []): string {
  if (host !== "0.0.0.0" && host !== "::") return host;
  const addresses = Object.values(networkInterfaces()).flatMap((addresses = []) => addresses);
  const outside = addresses.find(({ family, internal }) => !internal && family === "IPv4");
  return names[0] ?? outside?.address ?? "127.0.0.1";
}
