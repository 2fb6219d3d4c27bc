/** The destination of a COPY or MOVE: its headers, and whether it is permitted. */
import type { FileName } from "../../base/ids.ts";
import type { Attributes, FileSystem } from "../../vfs/filesystem.ts";
import type { Call } from "../call.ts";
import { checkMemberLocks } from "../locks/change-check.ts";
import { checkMakeable, type Href, parseReference } from "../href.ts";
import { lookUpPath, type ResolvedPath } from "../../files/resolved-path.ts";
import { checkSlash, makeable, present } from "./path-checks.ts";
import { checkPreconditions } from "../locks/preconditions.ts";
import { Refusal } from "../refusal.ts";

export interface Transfer {
  readonly destination: Href;
  readonly overwrite: boolean;
}

export interface Ends {
  readonly source: ResolvedPath & { readonly attributes: Attributes };
  readonly target: ResolvedPath & { readonly name: FileName };
}

/** Throws a Refusal: 400, 502. */
export function transferOf({ request }: Call): Transfer {
  const { destination, overwrite = "T", host } = request.headers;
  if (typeof destination !== "string") throw new Refusal(400, "The Destination header is missing.");
  if (!/^[TF]$/i.test(String(overwrite))) throw new Refusal(400, "Overwrite must be T or F.");
  return { destination: parseReference(destination.trim(), host), overwrite: /^T$/i.test(String(overwrite)) };
}

/** Both ends, if the transfer is permitted. `moved`: the source goes. Throws a Refusal, and BlockMiss. */
export function checkedEnds(call: Call, fs: FileSystem, { destination, overwrite }: Transfer, moved: boolean): Ends {
  const found = lookUpPath(fs, call.href.path, moved ? "itself" : "follow");
  const source = present(found);
  checkPreconditions(call, fs, found);
  checkSlash(call, fs, source);
  const target = makeable(lookUpPath(fs, destination.path, "itself"));
  // COPY of a symlink copies its target, but must not replace the symlink.
  const named = moved ? source : present(lookUpPath(fs, call.href.path, "itself"));
  const isItself = startsWith(named.path, target.path) && startsWith(target.path, named.path);
  if (
    isItself ||
    source.path.length === 0 ||
    startsWith(target.path, source.path) ||
    startsWith(source.path, target.path)
  ) {
    throw new Refusal(403, "Source and destination are the same, or one contains the other.");
  }
  if (target.attributes === undefined) checkMakeable(target.name);
  else if (!overwrite) throw new Refusal(412, "The destination exists, and Overwrite is F.");
  if (moved) checkMemberLocks(call, source.path, "all in it");
  checkMemberLocks(call, target.path, "all in it");
  return { source, target };
}

function startsWith(path: readonly FileName[], start: readonly FileName[]): boolean {
  return start.every((name, index) => path[index] === name);
}
