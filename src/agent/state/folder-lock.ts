/**
 * One agent a synced folder, whatever home, user or state it has: two would take turns in giving it a marker, and each would find what the other
 * one does to be somebody's. Held by a name in the kernel (unix(7), abstract) that is gone with the process; not across machines or containers.
 */
import { once } from "node:events";
import { stat } from "node:fs/promises";
import { createServer } from "node:net";
import { SynclineError } from "../../base/errors.ts";
import { failedWith } from "../../base/system-errors.ts";

/** Of a folder that is there. Throws `state_in_use`. Only Linux has such names: elsewhere the state alone is locked. */
export async function lockFolder(folder: string): Promise<Disposable> {
  if (process.platform !== "linux") return { [Symbol.dispose]: () => {} };
  const { dev, ino } = await stat(folder, { bigint: true });
  const server = createServer((socket) => socket.destroy());
  server.unref().listen(`\0syncline-folder-${dev}-${ino}`);
  try {
    await once(server, "listening");
  } catch (cause) {
    // Where a sandbox has no such names the state alone is locked, too.
    if (!failedWith(cause, "EADDRINUSE")) return { [Symbol.dispose]: () => {} };
    throw new SynclineError("state_in_use", `Another agent syncs ${folder} already.`, {
      hint: "It may have another home or user: end it first, or name another folder.",
      cause,
    });
  }
  return { [Symbol.dispose]: () => void server.close() };
}
