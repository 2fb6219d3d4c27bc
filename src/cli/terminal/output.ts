/**
 * A command's output: results on stdout, everything else on stderr; for people, or as JSON with `--json`.
 *
 * Text from outside (names, messages of stores) never reaches a terminal with control or bidi characters in it.
 */
import { once } from "node:events";
import { type ErrorCode, SynclineError } from "../../base/errors.ts";
import { describeError } from "../../base/log.ts";
import { escapeForPrint } from "../../base/names.ts";
import { eachOf, failureOf } from "../../base/failure.ts";
import { paintFor, type Look } from "./paint.ts";
import { createProgress, type Progress } from "./progress.ts";
import type { Amounts } from "./progress-rate.ts";
import type { Runtime } from "../runtime.ts";

export interface Output {
  /**
   * The result, or one of several events: `value` as a line of JSON, or `text` for people (nothing if empty). Escape names
   * in `text` that may hold newlines first. `look` colors each line, if the terminal has colors.
   */
  result(value: object, text: string, look?: Look): void;
  /** A notice for people on stderr: what was made, what comes next. With --json {"notice": …}. */
  notice(text: string): void;
  /** Raw bytes on stdout (`cat`), as fast as the reader takes them. */
  bytes(bytes: Uint8Array): Promise<void>;
  /** Progress of long work on stderr; nothing with --json. `total` may come later. */
  progress(label: string, total?: Amounts): Progress;
  error(error: unknown): void;
}

export interface OutputStyle {
  readonly json: boolean;
  readonly verbose: boolean;
}

export function createOutput(runtime: Runtime, style: OutputStyle): Output {
  const { stdout, stderr } = runtime;
  const [paint, paintError] = [paintFor(runtime.env, stdout), paintFor(runtime.env, stderr)];
  return {
    result(value, text, look = (line) => line) {
      if (style.json) stdout.write(`${toJson(value)}\n`);
      else if (text !== "") {
        const lines = escapeLines(text.replace(/\n$/, "")).split("\n");
        stdout.write(`${lines.map((line) => look(line, paint)).join("\n")}\n`);
      }
    },
    notice(text) {
      stderr.write(style.json ? `${toJson({ notice: text })}\n` : `${escapeLines(text)}\n`);
    },
    async bytes(bytes) {
      if (!stdout.write(bytes)) await once(stdout, "drain");
    },
    progress: (label, total) => createProgress(runtime, { label, total, hidden: style.json }),
    error(error) {
      const all = eachOf(error);
      if (style.json) for (const each of all) stderr.write(`${toJson(errorReport(each))}\n`);
      else stderr.write(errorText(all, style.verbose).replace(/^syncline:/gm, (name) => paintError("red", name)));
    },
  };
}

/** An error as `--json` shows it. */
export function errorReport(error: unknown): { code: ErrorCode; message: string; hint: string | null } {
  const { code, message, hint } = failureOf(error);
  return { code, message, hint: hint ?? null };
}

/** JSON in one line, without characters that control a terminal. */
export function toJson(value: object): string {
  return JSON.stringify(value).replace(INVISIBLE, (char) => {
    return Array.from(
      { length: char.length },
      (_, at) => `\\u${char.charCodeAt(at).toString(16).padStart(4, "0")}`,
    ).join("");
  });
}

// JSON escapes C0 itself; these are DEL, C1, and the format and separator characters of base/names.ts.
const INVISIBLE = /[\u007f-\u009f\p{Cf}\p{Zl}\p{Zp}]/gu;

/** One line per error; a hint shared by several comes once, after them. */
function errorText(errors: readonly unknown[], verbose: boolean): string {
  const lines: string[] = [];
  for (const [at, error] of errors.entries()) {
    const { code, message, hint } = errorReport(error);
    lines.push(`syncline: ${escapeForPrint(message)} (${code})`);
    const isShared = at + 1 < errors.length && errorReport(errors[at + 1]).hint === hint;
    if (hint !== null && !isShared) lines.push(`  ${escapeForPrint(hint)}`);
    if (verbose) lines.push(`  ${escapeForPrint(describeError(error))}`);
    if (verbose && error instanceof Error && !(error instanceof SynclineError))
      lines.push(escapeLines(error.stack ?? ""));
  }
  return `${lines.join("\n")}\n`;
}

function escapeLines(text: string): string {
  return text.split("\n").map(escapeForPrint).join("\n");
}
