/**
 * Allows one agent per synced folder, across homes, users and states: two would keep replacing each other's marker, and
 * take each other's actions for a person's. The lock is a name in the kernel (unix(7), abstract), released when the process
 * dies. It does not work across machines or containers.
 */
import { once } from "node:events";
import { stat } from "node:fs/promises";
import { createServer } from "node:net";
import { SynclineError } from "../../base/errors.ts";
import { failedWith } from "../../base/system-errors.ts";

/** Locks an existing folder. Throws `state_in_use`. Only on Linux: elsewhere just the state is locked. */
export async function lockFolder(folder: string): Promise<Disposable> {
  if (process.platform !== "linux") return { [Symbol.dispose]: () => {} };
  const { dev, ino } = await stat(folder, { bigint: true });
  const server = createServer((socket) => socket.destroy());
  server.unref().listen(`\0syncline-folder-${dev}-${ino}`);
  try {
    await once(server, "listening");
  } catch (cause) {
    // In a sandbox without such names, too, just the state is locked.
    if (!failedWith(cause, "EADDRINUSE")) return { [Symbol.dispose]: () => {} };
    throw new SynclineError("state_in_use", `Another agent already syncs ${folder}.`, {
      hint: "It may run as another user, or with another HOME. Stop it first, or choose another folder.",
      cause,
    });
  }
  return { [Symbol.dispose]: () => void server.close() };
}
