/** A command's environment: variables, terminal, clock. Taken from the process once, so that tests can replace it. */
import type { Readable, Writable } from "node:stream";
import { systemClock } from "../base/clock.ts";
import type { Ports } from "../base/ports.ts";
import { systemRandom } from "../base/random.ts";
import { StartFiles } from "./start-files.ts";
import { fileOutput } from "./terminal/file-output.ts";
import { unreadable } from "./terminal/standard-input.ts";

export interface Runtime extends Pick<Ports, "clock" | "random"> {
  /** Without SYNCLINE_KEY, so that no child inherits it. */
  readonly env: NodeJS.ProcessEnv;
  /** What SYNCLINE_KEY held. */
  readonly environmentKey: string | undefined;
  /** Text files that are read before a command's work begins. */
  readonly files: StartFiles;
  readonly stdin: Readable & { readonly isTTY?: boolean; setRawMode?(raw: boolean): unknown };
  /** What stdin is instead of something to read; undefined: it can be read. */
  readonly unreadableStdin?: () => string | undefined;
  readonly stdout: Writable & { readonly isTTY?: boolean };
  readonly stderr: Writable & { readonly isTTY?: boolean; readonly columns?: number };
  /** A background process stays in this process's session until it is ready. */
  readonly keepsSession?: boolean;
  /** Calls `cleanUp`, which must be synchronous, if a signal ends the process before the handle is disposed. */
  ifInterrupted(cleanUp: () => void): Disposable;
}

const [STDIN, STDOUT] = [0, 1];

/** The process as a runtime. Removes SYNCLINE_KEY from its environment. */
export function processRuntime(): Runtime {
  const environmentKey = process.env["SYNCLINE_KEY"];
  delete process.env["SYNCLINE_KEY"];
  return {
    env: process.env,
    environmentKey,
    files: new StartFiles(),
    stdin: process.stdin,
    unreadableStdin: () => unreadable(STDIN),
    stdout: fileOutput(STDOUT) ?? process.stdout,
    stderr: process.stderr,
    clock: systemClock,
    random: systemRandom,
    ifInterrupted,
  };
}

/** Signals by which people and systems end a process. */
export const ENDING_SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

function ifInterrupted(cleanUp: () => void): Disposable {
  const interrupted = (signal: NodeJS.Signals) => {
    cleanUp();
    release();
    // Without a listener, the signal has its default effect.
    process.kill(process.pid, signal);
  };
  const release = () => {
    for (const signal of ENDING_SIGNALS) process.off(signal, interrupted);
  };
  for (const signal of ENDING_SIGNALS) process.on(signal, interrupted);
  return { [Symbol.dispose]: release };
}
