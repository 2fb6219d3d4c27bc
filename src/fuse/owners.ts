/**
 * The owners that a mount shows. Stored numbers do not change; the mount only shows others in their place. With a map, new
 * objects and chown store the number that the given one stands for. So a map is a permutation: if two stored numbers were
 * shown as one, a user's new files would be another's.
 */
import { SynclineError } from "../base/errors.ts";

/** Plain data. */
export type OwnerRule =
  | { readonly kind: "stored" }
  /** Everything belongs to these. */
  | { readonly kind: "all"; readonly uid: number; readonly gid: number }
  /** Pairs of a stored number and the number shown for it. Both sides have the same numbers, each once. */
  | { readonly kind: "map"; readonly uids: readonly Pair[]; readonly gids: readonly Pair[] };

type Pair = readonly [stored: number, shown: number];

export const AS_STORED: OwnerRule = { kind: "stored" };

export class Owners {
  /** Whether shown numbers stand for stored ones. False if one owner is shown for everything. */
  readonly hasMap: boolean;
  readonly #shownUid: (stored: number) => number;
  readonly #shownGid: (stored: number) => number;
  readonly #storedUid: (shown: number) => number;
  readonly #storedGid: (shown: number) => number;

  constructor(rule: OwnerRule) {
    this.hasMap = rule.kind === "map";
    const { uids, gids } = rule.kind === "map" ? rule : { uids: [], gids: [] };
    this.#shownUid = rule.kind === "all" ? () => rule.uid : following(uids);
    this.#shownGid = rule.kind === "all" ? () => rule.gid : following(gids);
    this.#storedUid = following(uids.map(reversed));
    this.#storedGid = following(gids.map(reversed));
  }

  shownUid(stored: number): number {
    return this.#shownUid(stored);
  }

  shownGid(stored: number): number {
    return this.#shownGid(stored);
  }

  storedUid(shown: number): number {
    return this.#storedUid(shown);
  }

  storedGid(shown: number): number {
    return this.#storedGid(shown);
  }
}

/**
 * Lines "uid STORED SHOWN" and "gid STORED SHOWN"; # begins a comment. A shown number without a line of its own as stored is
 * shown as the number that its lines left free: "uid 1000 1001" exchanges the two. Throws `config_invalid`.
 */
export function parseOwnerMap(text: string): OwnerRule {
  const pairs: { uid: Pair[]; gid: Pair[] } = { uid: [], gid: [] };
  for (const [index, line] of text.split("\n").entries()) {
    const content = line.replace(/#.*/, "").trim();
    if (content === "") continue;
    const [, kind, stored, shown] = /^(uid|gid)\s+(\d+)\s+(\d+)$/.exec(content) ?? [];
    const pair = [Number(stored), Number(shown)] as const;
    if (kind === undefined || pair.some((number) => number > MAX_OWNER)) throw notAMap(index + 1);
    pairs[kind as "uid" | "gid"].push(pair);
  }
  for (const list of [pairs.uid, pairs.gid]) {
    for (const side of [0, 1] as const) {
      if (new Set(list.map((pair) => pair[side])).size < list.length) throw ambiguous();
    }
  }
  return { kind: "map", uids: completed(pairs.uid), gids: completed(pairs.gid) };
}

/** Adds a pair from the end of each chain of pairs back to its beginning. */
function completed(pairs: readonly Pair[]): readonly Pair[] {
  const to = new Map(pairs);
  const shown = new Set(to.values());
  const added: Pair[] = [];
  for (const first of to.keys()) {
    if (shown.has(first)) continue;
    let last = first;
    for (let next = to.get(last); next !== undefined; next = to.get(last)) last = next;
    added.push([last, first]);
  }
  return [...pairs, ...added];
}

/** The greatest uid and gid. The number after it means that there is none. */
export const MAX_OWNER = 0xffff_fffe;

function following(pairs: readonly Pair[]): (from: number) => number {
  if (pairs.length === 0) return (from) => from;
  const to = new Map(pairs);
  return (from) => to.get(from) ?? from;
}

function reversed([stored, shown]: Pair): Pair {
  return [shown, stored];
}

function notAMap(line: number): SynclineError {
  return new SynclineError(
    "config_invalid",
    `Line ${line} of the map of owners is not "uid STORED SHOWN" or "gid STORED SHOWN".`,
    { hint: "Write, for example: uid 1000 1001" },
  );
}

function ambiguous(): SynclineError {
  return new SynclineError("config_invalid", "The map of owners repeats a number.", {
    hint: "List each stored number once, and each shown number once.",
  });
}
