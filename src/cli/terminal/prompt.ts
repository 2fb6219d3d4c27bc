/** Asks on the terminal: for a passphrase without echo, for anything else with it. */
import { once } from "node:events";
import { createInterface } from "node:readline/promises";
import { SynclineError } from "../../base/errors.ts";
import type { Runtime } from "../runtime.ts";

/** Whether there is a terminal to ask on. */
export function canAsk({ stdin, stderr }: Runtime): boolean {
  return stdin.isTTY === true && stderr.isTTY === true;
}

/** One line typed in raw mode. Throws `usage` when interrupted (Ctrl-C, Ctrl-D on an empty line). */
export async function askHidden(runtime: Runtime, question: string): Promise<string> {
  const { stdin, stderr } = runtime;
  stderr.write(question);
  stdin.setRawMode?.(true);
  try {
    return await readLine(stdin);
  } finally {
    stdin.setRawMode?.(false);
    stdin.pause();
    stderr.write("\n");
  }
}

/** One line as it is typed, without blanks around it. Throws `usage` at the end of input. */
export async function askLine({ stdin, stderr }: Runtime, question: string): Promise<string> {
  const terminal = createInterface({ input: stdin, output: stderr });
  try {
    const answered = terminal.question(question);
    const ended = once(terminal, "close").then(() => {
      throw new SynclineError("usage", "No answer was given.");
    });
    return (await Promise.race([answered, ended])).trim();
  } finally {
    terminal.close();
  }
}

const CTRL_C = "\u0003";
const CTRL_D = "\u0004";
const BACKSPACES = new Set(["\u007f", "\b"]);

async function readLine(stdin: Runtime["stdin"]): Promise<string> {
  const typed: string[] = [];
  for await (const chunk of stdin.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer | string>) {
    for (const char of chunk.toString()) {
      if (char === "\r" || char === "\n") return typed.join("");
      if (char === CTRL_C || (char === CTRL_D && typed.length === 0)) {
        throw new SynclineError("usage", "No passphrase was given.");
      }
      if (BACKSPACES.has(char)) typed.pop();
      else typed.push(char);
    }
  }
  return typed.join("");
}
