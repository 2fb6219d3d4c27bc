/** `agent.log` in the state folder: appends lines, rotates when long, never causes a failure. */
import { appendFileSync, renameSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Clock } from "../../base/clock.ts";
import { createLineLog, type Log } from "../../base/log.ts";
import { escapeForPrint } from "../../base/names.ts";
import { LOG_BYTES } from "../../base/limits.ts";

export const LOG_NAME = "agent.log";

/** A log that appends to the state's file and calls `also`, if given. Escapes names in messages. */
export function openLogFile(stateDir: string, clock: Clock, also?: (line: string) => void): Log {
  const path = join(stateDir, LOG_NAME);
  let bytes = sizeOf(path);
  return createLineLog(
    () => clock.nowNs(),
    (line) => {
      const safe = `${escapeForPrint(line.slice(0, -1))}\n`;
      also?.(safe);
      try {
        if (bytes > LOG_BYTES) {
          renameSync(path, `${path}.1`);
          bytes = 0;
        }
        appendFileSync(path, safe, { mode: 0o600 });
        bytes += Buffer.byteLength(safe);
      } catch {
        // A full disk must not stop the agent that would free space.
      }
    },
  );
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}
