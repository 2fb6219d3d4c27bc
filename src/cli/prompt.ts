/** Asks for a passphrase on the terminal without showing it. */
import { SynclineError } from "../base/errors.ts";
import type { Runtime } from "./runtime.ts";

/** Whether somebody can be asked. */
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
