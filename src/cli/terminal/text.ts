/** Formats figures, times and names for people, and parses sizes. */
import type { FileName } from "../../base/ids.ts";
import { escapeForPrint, nameToText } from "../../base/names.ts";

/** A name safe for a terminal: escapes control and bidi characters. */
export function printName(name: FileName): string {
  return escapeForPrint(nameToText(name));
}

/** Makes any text from outside safe in the same way, such as a local path. */
export function printText(text: string): string {
  return escapeForPrint(text);
}

/** A path of such names, joined by "/". */
export function printPath(names: readonly FileName[]): string {
  return names.map(printName).join("/");
}

/** "1 file", "2 files". */
export function printCount(count: number, one: string, several = `${one}s`): string {
  return `${count} ${count === 1 ? one : several}`;
}

/** What is unpublished, and why, for people. */
export function printRest(
  pending: { files: number; bytes: number },
  error: { code: string; message: string } | null,
): string {
  const are = pending.files === 1 ? "is" : "are";
  const rest = `${printCount(pending.files, "file")}, ${printBytes(pending.bytes)} ${are} not published`;
  return error === null ? `${rest}.` : `${rest}: ${printText(error.message)} (${error.code})`;
}

/** What an agent that has ended left unpublished. */
export function printUnpublished(
  { files, bytes }: { files: number; bytes: number },
  why: string | null,
  where = "on this machine",
): string {
  const are = files === 1 ? "is" : "are";
  const left = `${printCount(files, "file")}, ${printBytes(bytes)} ${are} only ${where}`;
  return why === null ? `${left}.` : `${left}: ${printText(why)}`;
}

/** Three digits and a binary unit: "999 B", "1.46 KiB". */
export function printBytes(bytes: number): string {
  const power = bytes < 1024 ? 0 : Math.min(Math.floor(Math.log2(bytes) / 10), UNITS.length - 1);
  const value = bytes / 1024 ** power;
  return `${power === 0 ? value : value.toPrecision(value >= 1000 ? 4 : 3)} ${UNITS[power]}`;
}

/** RFC 3339 in UTC with nanoseconds, as records hold them. */
export function exactTime(ns: bigint): string {
  const beyond = ((ns % NS_PER_S) + NS_PER_S) % NS_PER_S;
  const seconds = new Date(Number((ns - beyond) / 1_000_000n)).toISOString().slice(0, -".000Z".length);
  return `${seconds}.${beyond.toString().padStart(9, "0")}Z`;
}

/** "850 ms", "3.2 s", "4 min 10 s", "2 h 5 min". */
export function printDuration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const seconds = ms / 1000;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${Math.floor(seconds % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** The command that made a commit, as a short single-line note. */
export function noteOf(text: string): string {
  return text.length <= MAX_NOTE_CHARS ? text : `${text.slice(0, MAX_NOTE_CHARS - 1)}…`;
}

/** "10 GiB", "512k", "1.5G", "4096" as bytes; units are binary. Undefined for anything else. */
export function parseBytes(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)\s*(?:([kmgtp])(?:i?b)?|b)?$/i.exec(text.trim());
  if (match === null) return undefined;
  const power = 1 + "kmgtp".indexOf((match[2] ?? "").toLowerCase());
  const bytes = Math.round(Number(match[1]) * 1024 ** (match[2] === undefined ? 0 : power));
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

const NS_PER_S = 1_000_000_000n;
const MAX_NOTE_CHARS = 200;
const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"] as const;
