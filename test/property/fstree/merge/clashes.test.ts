import * as fc from "fast-check";
import { expect, test } from "vitest";
import { ROOT_ID, type FileId } from "../../../../src/base/ids.ts";
import type { TreeObject } from "../../../../src/fstree/fs-reader.ts";
import { resolveClashes } from "../../../../src/fstree/merge/clashes.ts";
import { fileNames } from "../../../../src/fstree/merge/conflict-names.ts";
import { versionHash } from "../../../../src/fstree/merge/contents/content.ts";
import type { MergeState } from "../../../../src/fstree/merge/merge-state.ts";
import { MergedTree } from "../../../../src/fstree/merge/merged-tree.ts";
import { sortPlaces } from "../../../../src/fstree/merge/objects.ts";
import type { View } from "../../../../src/fstree/merge/snapshot.ts";
import { name, recordOf } from "../../../support/epochs.ts";
import { createMergeContext } from "../../../support/merge-context.ts";

const context = createMergeContext();
const EMPTY: View = {
  object: async () => undefined,
  remembered: () => undefined,
  at: async () => undefined,
  children: async function* () {},
};
const VERSIONS = ["x", "y", "z"];
const recordWith = (target: string) => recordOf("symlink", { target, size: target.length });
/** `f`, the conflict names of each version there, and others. */
const NAMES = ["f", ...(await Promise.all(VERSIONS.map(conflictName))), "g", "h"].map(name);

async function conflictName(version: string): Promise<string> {
  return fileNames(name("f"), await versionHash(context, recordWith(version))).next().value;
}

test("of files that meet at names, each version stays, and each name leads to a version that had it", async () => {
  const files = fc.array(
    fc.record({ version: fc.constantFrom(...VERSIONS), at: fc.subarray(NAMES, { minLength: 1 }) }),
  );
  await fc.assert(
    fc.asyncProperty(files, async (all) => {
      const merged = new MergedTree(EMPTY);
      for (const [index, { version, at }] of all.entries()) {
        const id = `${index}`.padStart(32, "0") as FileId;
        const names = sortPlaces(at.map((each) => ({ parent: ROOT_ID, name: each })));
        merged.layer(id, undefined, { id, record: recordWith(version), names, subdirs: 0 });
      }
      const before = await versionsIn(merged);
      const state = { context, merged, winner: EMPTY, kept: new Set(), absorbed: new Map(), findings: [] };
      await resolveClashes(state as unknown as MergeState, new Set());
      const after = await versionsIn(merged);
      for (const [at, versions] of before) expect(versions).toContain(after.get(at)?.[0]);
      expect(new Set([...after.values()].flat())).toEqual(new Set([...before.values()].flat()));
      for (const versions of after.values()) expect(versions).toHaveLength(1);
    }),
    { numRuns: 2_000 },
  );
});

async function versionsIn(merged: MergedTree): Promise<Map<string, string[]>> {
  const found = new Map<string, string[]>();
  const targetOf = ({ record }: TreeObject) => String(record.target);
  for (const place of merged.newPlaces()) found.set(place.name, (await merged.at(place)).map(targetOf));
  return found;
}
