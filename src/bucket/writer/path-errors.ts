/** Errors for the path of a bucket edit. */
import { SynclineError } from "../../base/errors.ts";
import type { FileName } from "../../base/ids.ts";
import { escapeForPrint, nameToText } from "../../base/names.ts";

export function noSuchPath(path: readonly FileName[]): SynclineError {
  return new SynclineError("no_such_path", `There is no ${textOf(path)} in the bucket.`, {
    hint: "`syncline ls` shows what exists.",
  });
}

/** For a path that is to become what it was in an older root. */
export function neverThere(path: readonly FileName[]): SynclineError {
  return new SynclineError("no_such_path", `Neither the newest root nor the chosen one has ${textOf(path)}.`, {
    hint: "`syncline log` with this path shows when it existed.",
  });
}

export function notADirectory(path: readonly FileName[]): SynclineError {
  return new SynclineError("not_a_directory", `${textOf(path)} is not a directory.`, {
    hint: "Choose another path, or remove what is there.",
  });
}

export function isADirectoryError(
  path: readonly FileName[],
  hint = "Give the file a name inside that directory: URL/PATH.",
): SynclineError {
  return new SynclineError("is_a_directory", `${textOf(path)} is a directory.`, { hint });
}

function textOf(path: readonly FileName[]): string {
  return escapeForPrint(`/${path.map(nameToText).join("/")}`);
}
