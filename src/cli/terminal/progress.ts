/**
 * Shows progress of long work on stderr. On a terminal: one line, redrawn at most ten times a second, and removed when the
 * work is done. Elsewhere: a line for every ten seconds in which something moved.
 */
import { ProgressRate, type Amounts } from "./progress-rate.ts";
import type { Runtime } from "../runtime.ts";
import { printBytes, printCount, printDuration } from "./text.ts";

export interface Progress extends Disposable {
  /** Whether progress is visible; if not, data only for it need not be computed. */
  readonly isShown: boolean;
  /** The total done so far; `total` may change or become known. */
  update(done: Amounts, total?: Amounts): void;
  /** Shows the current step and its duration until disposed, another step begins, or something is counted. */
  step(what: string): Disposable;
}

export interface ProgressLook {
  readonly label: string;
  readonly total: Amounts | undefined;
  readonly hidden: boolean;
}

export function createProgress(runtime: Pick<Runtime, "stderr" | "clock">, look: ProgressLook): Progress {
  const nothing = { [Symbol.dispose]: () => {} };
  if (look.hidden) return { isShown: false, update: () => {}, step: () => nothing, ...nothing };
  return runtime.stderr.isTTY === true ? new DrawnProgress(runtime, look) : new ToldProgress(runtime, look);
}

type Surroundings = Pick<Runtime, "stderr" | "clock">;

interface Step {
  readonly what: string;
  readonly sinceMs: number;
}

class DrawnProgress implements Progress {
  readonly isShown = true;
  readonly #stderr: Surroundings["stderr"];
  readonly #clock: Surroundings["clock"];
  readonly #label: string;
  readonly #rate: ProgressRate;
  #total: Amounts | undefined;
  #drawnMs = -Infinity;
  #step: Step | undefined;
  #timer: Disposable | undefined;

  constructor({ stderr, clock }: Surroundings, { label, total }: ProgressLook) {
    this.#stderr = stderr;
    this.#clock = clock;
    this.#label = label;
    this.#total = total;
    this.#rate = new ProgressRate(clock.monotonicMs());
  }

  update(done: Amounts, total?: Amounts): void {
    this.#total = total ?? this.#total;
    this.#endStep(this.#step);
    const nowMs = this.#clock.monotonicMs();
    if (nowMs - this.#drawnMs < REDRAW_MS) return;
    this.#rate.note(nowMs, done);
    this.#draw(progressLine(this.#label, done, this.#total, this.#rate));
  }

  step(what: string): Disposable {
    this.#endStep(this.#step);
    const step = (this.#step = { what, sinceMs: this.#clock.monotonicMs() });
    this.#drawLater(step);
    return { [Symbol.dispose]: () => this.#endStep(step) };
  }

  #drawLater(step: Step): void {
    this.#timer = this.#clock.after(STEP_MS, () => {
      this.#draw(stepLine(this.#label, step, this.#clock));
      this.#drawLater(step);
    });
  }

  #endStep(step: Step | undefined): void {
    if (this.#step !== step) return;
    this.#step = undefined;
    this.#timer?.[Symbol.dispose]();
  }

  #draw(line: string): void {
    this.#drawnMs = this.#clock.monotonicMs();
    this.#stderr.write(`\r${line.slice(0, (this.#stderr.columns || DEFAULT_COLUMNS) - 1)}${CLEAR_TO_END}`);
  }

  [Symbol.dispose](): void {
    this.#endStep(this.#step);
    if (this.#drawnMs > -Infinity) this.#stderr.write(`\r${CLEAR_TO_END}`);
  }
}

class ToldProgress implements Progress {
  readonly isShown = true;
  readonly #stderr: Surroundings["stderr"];
  readonly #clock: Surroundings["clock"];
  readonly #label: string;
  readonly #rate: ProgressRate;
  #done: Amounts = {};
  #total: Amounts | undefined;
  #line = "";
  #toldMs: number;
  #step: Step | undefined;
  #timer: Disposable;

  constructor({ stderr, clock }: Surroundings, { label, total }: ProgressLook) {
    this.#stderr = stderr;
    this.#clock = clock;
    this.#label = label;
    this.#total = total;
    this.#toldMs = clock.monotonicMs();
    this.#rate = new ProgressRate(this.#toldMs);
    this.#timer = clock.after(TELL_MS, () => this.#tell());
  }

  update(done: Amounts, total?: Amounts): void {
    this.#total = total ?? this.#total;
    this.#done = { ...done };
    this.#step = undefined;
    const nowMs = this.#clock.monotonicMs();
    this.#rate.note(nowMs, done);
    // Work that never waits keeps timers from firing.
    if (nowMs - this.#toldMs >= TELL_MS) this.#tell();
  }

  step(what: string): Disposable {
    const step = (this.#step = { what, sinceMs: this.#clock.monotonicMs() });
    const end = () => void (this.#step = this.#step === step ? undefined : this.#step);
    return { [Symbol.dispose]: end };
  }

  [Symbol.dispose](): void {
    this.#timer[Symbol.dispose]();
  }

  #tell(): void {
    this.#timer[Symbol.dispose]();
    this.#timer = this.#clock.after(TELL_MS, () => this.#tell());
    this.#toldMs = this.#clock.monotonicMs();
    if (this.#step !== undefined) {
      this.#stderr.write(`${stepLine(this.#label, this.#step, this.#clock)}\n`);
      return;
    }
    const figures = figuresOf(this.#done, this.#total).join("  ");
    if (figures === "" || figures === this.#line) return;
    this.#line = figures;
    this.#stderr.write(`${progressLine(this.#label, this.#done, this.#total, this.#rate)}\n`);
  }
}

/** "label  50%  512 of 1024 files  1.00 MiB of 2.00 MiB  12 files/s  20.0 KiB/s  3.2 s left", as far as known. */
export function progressLine(label: string, done: Amounts, total: Amounts | undefined, rate: ProgressRate): string {
  const { files, bytes, blocks } = rate.perSecond();
  const rates: string[] = [];
  if (files !== undefined) rates.push(`${printRate(files)} files/s`);
  if (blocks !== undefined) rates.push(`${printRate(blocks)} blocks/s`);
  if (bytes !== undefined) rates.push(`${printBytes(Math.round(bytes))}/s`);
  const leftMs = total === undefined ? undefined : rate.leftMs(done, total);
  const left = leftMs === undefined ? [] : [`${printDuration(leftMs)} left`];
  const part = total === undefined ? undefined : partOf(done, total);
  const percent = part === undefined ? [] : [`${Math.floor(part * 100)}%`.padStart(4)];
  return [label, ...percent, ...left, ...figuresOf(done, total), ...rates].join("  ");
}

function stepLine(label: string, { what, sinceMs }: Step, clock: Surroundings["clock"]): string {
  return `${label}  ${what}  for ${printDuration(clock.monotonicMs() - sinceMs)}`;
}

function figuresOf({ files, bytes, blocks }: Amounts, total: Amounts = {}): string[] {
  const figures: string[] = [];
  if (files !== undefined)
    figures.push(total.files === undefined ? printCount(files, "file") : `${files} of ${total.files} files`);
  if (blocks !== undefined)
    figures.push(total.blocks === undefined ? printCount(blocks, "block") : `${blocks} of ${total.blocks} blocks`);
  if (bytes !== undefined)
    figures.push(total.bytes === undefined ? printBytes(bytes) : `${printBytes(bytes)} of ${printBytes(total.bytes)}`);
  return figures;
}

/** The part of the slowest unit. */
function partOf(done: Amounts, total: Amounts): number | undefined {
  const parts = UNITS.flatMap((unit) => {
    const all = total[unit];
    return all === undefined || all <= 0 ? [] : [Math.min((done[unit] ?? 0) / all, 1)];
  });
  return parts.length === 0 ? undefined : Math.min(...parts);
}

function printRate(perSecond: number): string {
  return perSecond < 10 ? perSecond.toFixed(1) : String(Math.round(perSecond));
}

const UNITS = ["files", "bytes", "blocks"] as const;
const REDRAW_MS = 100;
const TELL_MS = 10_000;
/** Shorter steps are not shown on a terminal. */
const STEP_MS = 1_000;
/** For a terminal that does not report its width, or reports 0. */
const DEFAULT_COLUMNS = 80;
const CLEAR_TO_END = "\u001b[K";
