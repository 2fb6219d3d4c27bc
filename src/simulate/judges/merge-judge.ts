/**
 * Checks every merge, whoever makes it: what one side deleted and the other left alone stays deleted (law 5), what the
 * other changed survives, and a mode, owner or attribute that one side alone changed ends as that side left it (law 6).
 * Written from docs/design/merge.md, with plain sets.
 */
import { isDeepStrictEqual } from "node:util";
import type { Cid, FileId } from "../../base/ids.ts";
import { hasCode } from "../../base/errors.ts";
import type { Block, BlockReader } from "../../blocks/block-store.ts";
import { Globs } from "../../fstree/merge/globs.ts";
import { UnitRules } from "../../fstree/merge/units/unit-rules.ts";
import { type Head, type MergeContext, wins } from "../../fstree/merge/context.ts";
import { mergeSnapshots } from "../../fstree/merge/merge-snapshots.ts";
import type { MergeSnapshots } from "../../bucket/publish/workspace.ts";
import { ChunkCache } from "../../content/chunk-cache.ts";
import { isLinked } from "../../format/blocks/linked-value.ts";
import type { FileRecord } from "../../format/files/record.ts";
import { NodeStore } from "../../tree/node-store.ts";
import { wrongDocuments } from "./document-judge.ts";
import { tornUnits } from "./unit-judge.ts";
import { sameVersion, type Survey, type SurveyedMerge, type SurveyedObject, surveyOf } from "./tree-survey.ts";

export class MergeJudge {
  readonly faults: string[] = [];
  readonly #stored: BlockReader;
  readonly #blocks = new Map<Cid, Uint8Array>();

  /** `stored` reads the bucket without faults on the way. */
  constructor(stored: BlockReader) {
    this.#stored = stored;
  }

  /** Wraps `merge` with the checks. */
  judging(merge: MergeSnapshots = mergeSnapshots): MergeSnapshots {
    return async (context, base, x, y) => {
      const result = await merge(context, base, x, y);
      await this.#judge(context, base, [x, y], result.tree);
      return result;
    };
  }

  async #judge(context: MergeContext, base: Cid, [x, y]: readonly [Head, Head], tree: Cid): Promise<void> {
    const reader = this.#reader(context.blocks);
    const nodes = new NodeStore(reader, { capacityBytes: CACHE_BYTES });
    const content = new ChunkCache(reader, { capacityBytes: CACHE_BYTES });
    const [winner, loser] = wins(x, y) ? [x, y] : [y, x];
    try {
      const [bases, winners, losers] = [
        await surveyOf(nodes, base),
        await surveyOf(nodes, winner.tree),
        await surveyOf(nodes, loser.tree),
      ];
      const units = new UnitRules(context.policy.units);
      const lines = new Globs([...context.policy.text, ...context.policy.logs]);
      const merged = { base: bases, winner: winners, loser: losers, result: await surveyOf(nodes, tree), units, lines };
      for (const role of ["winner", "loser"] as const)
        this.faults.push(...resurrected(merged, role), ...notSurvived(merged, role));
      this.faults.push(...wrongFields(merged), ...wrongWinners(merged), ...tornUnits(merged));
      this.faults.push(...(await wrongDocuments(merged, content)));
    } catch (error) {
      // The bucket dropped blocks that the merge read from a cache: it cannot be judged.
      if (!UNREADABLE.some((code) => hasCode(error, code))) throw error;
    }
  }

  #reader(staged: BlockReader): BlockReader {
    const get = async (cid: Cid): Promise<Uint8Array> => {
      const bytes = this.#blocks.get(cid) ?? (await this.#get(cid, staged));
      this.#blocks.set(cid, bytes);
      return bytes;
    };
    const getMany = async (cids: readonly Cid[]) => {
      const blocks: Block[] = [];
      for (const cid of cids) blocks.push({ cid, bytes: await get(cid) });
      return new Map(blocks.map(({ cid, bytes }) => [cid, bytes]));
    };
    return { get, getMany };
  }

  async #get(cid: Cid, staged: BlockReader): Promise<Uint8Array> {
    try {
      return await this.#stored.get(cid);
    } catch (error) {
      if (!hasCode(error, "block_not_found")) throw error;
      return staged.get(cid);
    }
  }
}

const CACHE_BYTES = 1024 * 1024;
const UNREADABLE = ["block_not_found", "block_corrupt", "read_timeout", "store_unreachable"] as const;

/** Ancestors of survivors, and the contents of directories that the other side moved, may be resurrected. */
function resurrected(merged: SurveyedMerge, role: "winner" | "loser"): string[] {
  const { base, result } = merged;
  const deleter = merged[role];
  const other = merged[role === "winner" ? "loser" : "winner"];
  const back = [...base.values()].filter(({ id }) => !deleter.has(id) && result.has(id) && !isInUnit(id, merged));
  const wrong = new Set<FileId>();
  for (const object of back)
    if (isLeftAlone(object, other.get(object.id)) && !liesInMoved(object, base, deleter, other)) wrong.add(object.id);
  const needed = ancestorsIn(
    result,
    [...result.keys()].filter((id) => !wrong.has(id)),
  );
  return [...wrong].flatMap((id) => {
    const object = base.get(id);
    if (object?.record.type === "directory" && needed.has(id)) return [];
    return [`a merge brings back what its ${role} deleted and nobody else changed: ${id}, ${object?.places.join()}`];
  });
}

/** What one side moved, linked or wrote to survives the other's delete, under its id or as a file with the same bytes. */
function notSurvived(merged: SurveyedMerge, role: "winner" | "loser"): string[] {
  const { base, result } = merged;
  const remover = merged[role];
  const side = merged[role === "winner" ? "loser" : "winner"];
  return [...side.values()].flatMap((object) => {
    const { id, record, places } = object;
    const before = base.get(id);
    if (before === undefined || remover.has(id) || result.has(id) || record.type === "directory") return [];
    const isSame = sameVersion(before.record, record) && places.every((place) => before.places.includes(place));
    if (isSame || isInUnit(id, merged)) return [];
    if ([...result.values()].some((other) => sameVersion(other.record, record))) return [];
    return [`a merge removes what its ${role} removed and the other side changed: ${id}, ${places.join()}`];
  });
}

/** Whether a side neither moved it nor wrote to it: other changes do not save it from a delete. */
function isLeftAlone({ record, places }: SurveyedObject, found: SurveyedObject | undefined): boolean {
  return found !== undefined && isDeepStrictEqual(found.places, places) && sameVersion(record, found.record);
}

/** Whether the other side moved a directory that contained the object. */
function liesInMoved(object: SurveyedObject, base: Survey, deleter: Survey, other: Survey): boolean {
  return [...ancestorsIn(base, [object.id])].some((id) => {
    const elsewhere = other.get(id);
    return !deleter.has(id) && !isDeepStrictEqual(elsewhere?.places, base.get(id)?.places);
  });
}

/** The directories above these objects. */
function ancestorsIn(survey: Survey, ids: readonly FileId[]): Set<FileId> {
  const found = new Set<FileId>();
  const open = [...ids];
  for (let id = open.pop(); id !== undefined; id = open.pop()) {
    for (const { parent } of survey.get(id)?.names ?? []) {
      if (found.has(parent)) continue;
      found.add(parent);
      open.push(parent);
    }
  }
  return found;
}

/** Checks objects of all three trees, field by field: where both sides changed a field, the winner's value stays. */
function wrongFields(merged: SurveyedMerge): string[] {
  const { base, winner, loser, result } = merged;
  return [...result.values()].flatMap(({ id, record, places }) => {
    const [old, ours, theirs] = [base.get(id)?.record, winner.get(id)?.record, loser.get(id)?.record];
    if (old === undefined || ours === undefined || theirs === undefined || isInUnit(id, merged)) return [];
    if ([old, ours, theirs].some(({ type }) => type !== record.type)) return [];
    const wrong = [...fieldsOf(record)].filter(([field, value]) => {
      const [before, won, lost] = [old, ours, theirs].map((side) => fieldsOf(side).get(field));
      return value !== (before === won ? lost : won);
    });
    return wrong.map(([field, value]) => `a merge gives ${places.join()} the ${field} ${value}`);
  });
}

/** Contents that are not merged by lines must be the winner's. */
function wrongWinners(merged: SurveyedMerge): string[] {
  const { base, winner, loser, result, lines } = merged;
  return [...result.values()].flatMap(({ id, record, places }) => {
    const trees = [base, winner, loser].map((survey) => survey.get(id));
    const [old, ours, theirs] = trees.map((object) => object?.record);
    if (old === undefined || ours === undefined || theirs === undefined || isInUnit(id, merged)) return [];
    if (trees.some((object) => object?.names.some(({ name }) => lines.match(name)))) return [];
    if ([[old, ours] as const, [old, theirs] as const, [ours, theirs] as const].some(([a, b]) => sameVersion(a, b)))
      return [];
    return sameVersion(record, ours) ? [] : [`a merge gives ${places.join()} contents that differ from the winner's`];
  });
}

function fieldsOf({ mode, uid, gid, xattrs }: FileRecord): Map<string, string> {
  const value = isLinked(xattrs) ? undefined : xattrs.get("user.x");
  const attribute = value === undefined ? "none" : Buffer.from(value).toString("latin1");
  return new Map([
    ["mode", mode.toString(8)],
    ["owner", `${uid}:${gid}`],
    ["attribute", attribute],
  ]);
}

/** Whether the object is in a unit, or in a unit's copy beside it: units have rules of their own. */
function isInUnit(id: FileId, { base, winner, loser, result, units }: SurveyedMerge): boolean {
  return [base, winner, loser, result].some((survey) => {
    const above = [id, ...ancestorsIn(survey, [id])];
    return above.some((each) => {
      return survey.get(each)?.names.some(({ name }) => units.isTree(name) || units.mainsOf(name).length > 0);
    });
  });
}
