/** File names as byte strings: conversion from and to bytes and text, checks, and escaping for display. */
import { SynclineError } from "./errors.ts";
import type { FileName } from "./ids.ts";
import { MAX_NAME_BYTES } from "./limits.ts";

/** The name with these bytes. Throws `name_invalid` if no directory may hold it. */
export function nameFromBytes(bytes: Uint8Array): FileName {
  return checkName(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1"));
}

/** The name whose UTF-8 text this is. Throws `name_invalid`. */
export function nameFromText(text: string): FileName {
  return checkName(Buffer.from(text, "utf8").toString("latin1"));
}

export function nameToBytes(name: FileName): Buffer {
  return Buffer.from(name, "latin1");
}

/** The name as text; bytes that are not UTF-8 become U+FFFD. For display, never for lookups. */
export function nameToText(name: FileName): string {
  return Buffer.from(name, "latin1").toString("utf8");
}

/** Checks a byte string against the rules of docs/reference/formats.md: 1–255 bytes, no `/`, no NUL, not `.` or `..`. */
export function checkName(name: string): FileName {
  if (name.length === 0 || name.length > MAX_NAME_BYTES || name === "." || name === ".." || /[/\0]/.test(name)) {
    throw new SynclineError("name_invalid", `${JSON.stringify(name)} is not a valid file name.`, {
      hint: `A name has 1 to ${MAX_NAME_BYTES} bytes, no slash and no NUL, and is not "." or "..".`,
    });
  }
  return name as FileName;
}

/** Cuts a byte string to at most `bytes` bytes, without splitting a UTF-8 sequence. */
export function cutAtCharacter(text: string, bytes: number): string {
  if (text.length <= bytes) return text;
  let end = bytes;
  while (end > 0 && isContinuation(text.charCodeAt(end))) end--;
  // No sequence has so many continuation bytes: the text is not UTF-8.
  return text.slice(0, bytes - end > MAX_CONTINUATION_BYTES ? bytes : end);
}

const MAX_CONTINUATION_BYTES = 3;

function isContinuation(byte: number): boolean {
  return (byte & 0xc0) === 0x80;
}

/** Text made inert for a terminal or a log: control and bidi characters as \u{…}. */
export function escapeForPrint(text: string): string {
  return text.replace(UNSAFE, (char) => `\\u{${(char.codePointAt(0) ?? 0).toString(16)}}`);
}

// Unicode Cc, Cf (bidi controls, zero-width characters), Zl and Zp; the replacement character is left unescaped.
const UNSAFE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

/** Quotes text as one shell word, for commands that people copy. */
export function shellWord(text: string): string {
  const shown = escapeForPrint(text);
  return /^[\w./:@%+=,-]+$/.test(shown) ? shown : `'${shown.replaceAll("'", "'\\''")}'`;
}
