/** The pinned paths of a state, in `pins.json`. */
import { join } from "node:path";
import { SynclineError } from "../../base/errors.ts";
import type { FileName } from "../../base/ids.ts";
import { checkName, nameToText } from "../../base/names.ts";
import { orElse } from "../../base/unless.ts";
import { readStateFile, writeStateFile } from "../state/state-file.ts";

/** Names from the root directory down. An empty list is the whole bucket. */
export type PinPath = readonly FileName[];

const NAME = "pins.json";

export function readPins(stateDir: string): PinPath[] {
  const bytes = readStateFile(join(stateDir, NAME));
  return bytes === undefined ? [] : parsePins(bytes);
}

export function writePins(stateDir: string, pins: readonly PinPath[]): void {
  writeStateFile(join(stateDir, NAME), Buffer.from(JSON.stringify(pins)));
}

/** Malformed text pins nothing: contents are then fetched when they are needed. */
export function parsePins(bytes: Uint8Array): PinPath[] {
  return orElse([], () => {
    const pins: unknown = JSON.parse(Buffer.from(bytes).toString("utf8"));
    return Array.isArray(pins) ? pins.map(pinOf) : [];
  });
}

/** Throws `name_invalid`, and `usage` for anything but a list of names. */
export function pinOf(names: unknown): PinPath {
  if (!Array.isArray(names)) throw new SynclineError("usage", "A path must be a list of names.");
  return names.map((name) => checkName(String(name)));
}

export function samePin(a: PinPath, b: PinPath): boolean {
  return a.length === b.length && a.every((name, at) => name === b[at]);
}

/** Whether `pin` is this path or a directory above it. */
export function covers(pin: PinPath, path: PinPath): boolean {
  return pin.length <= path.length && pin.every((name, at) => name === path[at]);
}

export function pinText(pin: PinPath): string {
  return `/${pin.map(nameToText).join("/")}`;
}
