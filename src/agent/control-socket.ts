/** An agent's control socket: its path, and the lines sent over it. */
import { closeSync, openSync } from "node:fs";
import type { Socket } from "node:net";
import { join } from "node:path";
import { SynclineError } from "../base/errors.ts";

/** A path to listen on or connect to until it is disposed. */
export interface SocketPath extends Disposable {
  readonly path: string;
}

/** sockaddr_un (unix(7)) takes 108 bytes, on macOS 104, with the NUL at the end. */
const MAX_PATH_BYTES = 103;
const NAME = "control.sock";

/** `control.sock` in the state folder; a pipe on Windows. Throws `config_invalid` where the folder's path is too long. */
export function openSocketPath(stateDir: string): SocketPath {
  const path = socketFile(stateDir);
  if (process.platform === "win32") {
    return { path: `\\\\.\\pipe\\syncline-${stateDir.replaceAll(/\W/g, "-")}`, [Symbol.dispose]: () => {} };
  }
  if (Buffer.byteLength(path) <= MAX_PATH_BYTES) return { path, [Symbol.dispose]: () => {} };
  if (process.platform !== "linux") {
    throw new SynclineError("config_invalid", `The state folder path ${stateDir} is too long for a socket.`, {
      hint: "Choose a shorter path with --state.",
    });
  }
  // The kernel resolves the folder by its descriptor, so its path may have any length.
  const folder = openSync(stateDir, "r");
  return { path: `/proc/self/fd/${folder}/${NAME}`, [Symbol.dispose]: () => closeSync(folder) };
}

/** The socket's file, for removing one that was left over. */
export function socketFile(stateDir: string): string {
  return join(stateDir, NAME);
}

/** Calls `heard` with each line. On a line longer than `maxBytes`, calls `tooLong` once, and nothing after that. */
export function onLines(socket: Socket, maxBytes: number, heard: (line: string) => void, tooLong: () => void): void {
  let parts: Buffer[] = [];
  let held = 0;
  const read = (chunk: Buffer): void => {
    let rest = chunk;
    for (let end; (end = rest.indexOf(NEWLINE)) >= 0; rest = rest.subarray(end + 1)) {
      const line = Buffer.concat([...parts, rest.subarray(0, end)]);
      [parts, held] = [[], 0];
      heard(line.toString("utf8"));
    }
    parts.push(rest);
    held += rest.length;
    if (held <= maxBytes) return;
    socket.off("data", read);
    tooLong();
  };
  socket.on("data", read);
}

const NEWLINE = 0x0a;
