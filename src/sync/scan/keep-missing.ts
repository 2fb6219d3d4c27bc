/**
 * A scan while deletions await approval: missing objects do not count as deleted, so the bucket keeps them; other changes
 * are sent.
 */
import { placeText } from "../../fstree/object-rows.ts";
import type { SyncDatabase } from "../known/database.ts";
import { match, type ScanRules } from "./match.ts";
import type { Matching } from "./matching.ts";
import type { Found, Walked } from "./walk.ts";

/** Leaves out new objects at the places of missing ones: they wait until the name is free. */
export function matchKeepingMissing(
  db: SyncDatabase,
  walked: Walked,
  rules: ScanRules,
): { readonly walked: Walked; readonly matching: Matching } {
  for (let seen = walked; ;) {
    const matching = match(db, seen, rules, true);
    const taken = namesakes(matching);
    if (taken.size === 0) return { walked: seen, matching };
    // An object left out may be missing at its old place, where another object now has its name.
    seen = { ...seen, root: without(seen.root, taken, undefined) };
  }
}

/** Objects found at the places of missing ones. */
function namesakes({ root, objects }: Matching): Set<Found> {
  const missing = objects.filter(({ found }) => found.length === 0);
  const places = new Set(missing.flatMap(({ kept }) => kept.map(placeText)));
  if (places.size === 0) return new Set();
  const directories = [root, ...objects].flatMap(({ id, found: [first] }) => {
    return id === undefined || first === undefined ? [] : [{ id, first }];
  });
  return new Set(
    directories.flatMap(({ id, first }) =>
      first.children.filter(({ name }) => places.has(placeText({ parent: id, name }))),
    ),
  );
}

function without(found: Found, left: ReadonlySet<Found>, parent: Found | undefined): Found {
  const children: Found[] = [];
  const copy: Found = { ...found, parent, children };
  for (const child of found.children) if (!left.has(child)) children.push(without(child, left, copy));
  return copy;
}
