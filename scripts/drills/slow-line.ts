/** A slow line to a master: slow-proxy.ts in a process of its own. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { Socket } from "node:net";
import { join, pidOf, type Space } from "./lib.ts";

/** Starts a proxy of the master that delays its answers. */
export async function slowLine(space: Space, origin: string, delayMs: number) {
  const script = join(import.meta.dirname, "slow-proxy.ts");
  const child = spawn(process.execPath, [script, new URL(origin).port, String(delayMs)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const pid = pidOf(child);
  space.pids.add(pid);
  const [line] = (await once(child.stdout, "data")) as [Buffer];
  // Node.js makes a socket of a pipe. This process need not wait for it.
  if (child.stdout instanceof Socket) child.stdout.unref();
  child.unref();
  return { pid, ...(JSON.parse(line.toString()) as { port: number }) };
}
