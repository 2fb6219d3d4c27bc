/** Where parts of the program log events: a port, so that the agent writes a file and a test collects lines. */
import { timeText } from "./clock.ts";

export interface Log {
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}

export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>;

export const silentLog: Log = { info: () => {}, warn: () => {}, error: () => {} };

/** One line per event: time, level, message, then fields as JSON. `write` receives whole lines. */
export function createLineLog(nowNs: () => bigint, write: (line: string) => void): Log {
  const line = (level: string) => (message: string, fields?: LogFields) => {
    const time = timeText(nowNs());
    write(`${time} ${level} ${message}${fields === undefined ? "" : ` ${JSON.stringify(fields)}`}\n`);
  };
  return { info: line("info"), warn: line("warn"), error: line("error") };
}

/** An error as one line for a log: code or name, message, and the chain of causes. */
export function describeError(error: unknown): string {
  const parts: string[] = [];
  for (let at: unknown = error; at !== undefined && parts.length < 5; at = at instanceof Error ? at.cause : undefined) {
    const code = at instanceof Error && "code" in at ? `${String(at.code)}: ` : "";
    parts.push(code + (at instanceof Error ? at.message : String(at)));
  }
  return parts.join(" ← ");
}
