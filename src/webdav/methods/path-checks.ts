/** Checks what a method may do at a place, and refuses the rest. */
import type { FileName } from "../../base/ids.ts";
import { lookUpPath, isFolder, isLink, type ResolvedPath } from "../../files/resolved-path.ts";
import { isTemporary } from "../../files/temporary-name.ts";
import type { Attributes, FileSystem } from "../../vfs/filesystem.ts";
import type { Call } from "../call.ts";
import { Refusal } from "../refusal.ts";

/** An existing object, for methods that need one. Throws a Refusal, 404. */
export function present(place: ResolvedPath | undefined): ResolvedPath & { readonly attributes: Attributes } {
  const attributes = place?.attributes;
  if (place === undefined || attributes === undefined) throw new Refusal(404, "There is nothing here.");
  return { ...place, attributes };
}

/** An address with a slash at the end is that of a folder, or of a link to one. Throws a Refusal, 404, and BlockMiss. */
export function checkSlash({ href }: Call, fs: FileSystem, { attributes }: ReturnType<typeof present>): void {
  if (!href.isFolder) return;
  const shown = isLink(attributes) ? lookUpPath(fs, href.path, "follow")?.attributes : attributes;
  if (shown === undefined || !isFolder(shown)) throw new Refusal(404, "This folder does not exist.");
}

/** A place that a client may create or replace. Throws as `writable`, and a Refusal, 403, for the door's own names. */
export function makeable(place: ResolvedPath | undefined): ResolvedPath & { readonly name: FileName } {
  const found = writable(place);
  if (found.path.some(isTemporary)) throw new Refusal(403, "This server reserves such names and hides them.");
  return found;
}

/** A place that may be removed or replaced. Throws a Refusal: 409 without its folder, 403 for the root or if hidden. */
export function writable(place: ResolvedPath | undefined): ResolvedPath & { readonly name: FileName } {
  if (place === undefined) throw new Refusal(409, "The parent folder does not exist. Create it first.");
  const { name } = place;
  if (name === undefined) throw new Refusal(403, "The root folder cannot be replaced or removed.");
  if (place.isHidden) throw new Refusal(403, "Something hidden has this name.");
  return { ...place, name };
}
