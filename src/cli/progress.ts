/** A progress bar on stderr: drawn on a terminal only, ten times a second at most, gone when the work is done. */
import type { Runtime } from "./runtime.ts";
import { printBytes, printDuration } from "./text.ts";

export interface Progress extends Disposable {
  /** `done` and `total` in the bar's unit; `total` may change or become known. */
  update(done: number, total?: number): void;
}

export interface ProgressLook {
  readonly label: string;
  readonly unit: "bytes" | "files" | "blocks";
  readonly total: number | undefined;
  readonly hidden: boolean;
}

export function createProgress(runtime: Pick<Runtime, "stderr" | "clock">, look: ProgressLook): Progress {
  const { stderr, clock } = runtime;
  if (look.hidden || stderr.isTTY !== true) return { update: () => {}, [Symbol.dispose]: () => {} };
  const startedMs = clock.monotonicMs();
  let total = look.total;
  let drawnMs = -Infinity;
  return {
    update(done, newTotal) {
      total = newTotal ?? total;
      const nowMs = clock.monotonicMs();
      if (nowMs - drawnMs < REDRAW_MS) return;
      drawnMs = nowMs;
      const line = progressLine(look, done, total, nowMs - startedMs);
      stderr.write(`\r${line.slice(0, (stderr.columns || DEFAULT_COLUMNS) - 1)}${CLEAR_TO_END}`);
    },
    [Symbol.dispose]() {
      if (drawnMs > -Infinity) stderr.write(`\r${CLEAR_TO_END}`);
    },
  };
}

/** "label  [#####     ]  50%  5.00 MiB of 10.0 MiB  3.2 s left". */
export function progressLine(look: ProgressLook, done: number, total: number | undefined, elapsedMs: number): string {
  const figure = look.unit === "bytes" ? printBytes : (count: number) => `${count} ${look.unit}`;
  if (total === undefined || total <= 0) return `${look.label}  ${figure(done)}  ${printDuration(elapsedMs)}`;
  const part = Math.min(done / total, 1);
  const filled = Math.round(part * BAR_CHARS);
  const bar = `[${"#".repeat(filled)}${" ".repeat(BAR_CHARS - filled)}]`;
  const left = part > 0 && part < 1 ? `  ${printDuration((elapsedMs * (1 - part)) / part)} left` : "";
  return `${look.label}  ${bar} ${String(Math.floor(part * 100)).padStart(3)}%  ${figure(done)} of ${figure(total)}${left}`;
}

const REDRAW_MS = 100;
const BAR_CHARS = 24;
/** Of a terminal that does not tell, or says 0. */
const DEFAULT_COLUMNS = 80;
const CLEAR_TO_END = "\u001b[K";
