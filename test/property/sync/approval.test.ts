/**
 * One of three folders misses 120 files at some moment and a person approves that later, while all three are edited at random. SYNCLINE_TEST_ALL:
 * hundreds of histories.
 */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { hasCode } from "../../../src/base/errors.ts";
import type { PassResult } from "../../../src/sync/pass-result.ts";
import { Crash } from "../../../src/simulate/folder/memory-sync-disk.ts";
import { bucketTree, path, settle, syncWorld, type SyncedFolder } from "../../support/sync-world.ts";

const all = process.env["SYNCLINE_TEST_ALL"] !== undefined;
const seed = Number(process.env["SYNCLINE_TEST_SEED"] ?? 71);
const MANY = 120;

const which = fc.nat(2);
const step = fc.oneof(
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("sync" as const), which, dies: fc.option(fc.nat(30)) }) },
  // Outside of what is deleted, and in it.
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("beside" as const), which, at: fc.nat(5) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("edit" as const), which, at: fc.nat(MANY - 1) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("make" as const), which, at: fc.nat(3) }) },
);
const steps = (minLength: number, maxLength: number) => fc.array(step, { minLength, maxLength, size: "max" });

test(
  "an unapproved mass deletion removes nothing elsewhere; once approved, nobody is asked again, and edited files stay everywhere",
  async () => {
    await fc.assert(
      fc.asyncProperty(steps(0, 5), steps(3, 12), steps(0, 6), async (before, waiting, after) => {
        const world = await syncWorld(3);
        const [a, ...others] = world.folders as [SyncedFolder, SyncedFolder, SyncedFolder];
        a.disk.make(path("d"));
        for (let each = 0; each < MANY; each++) a.disk.write(path(`d/${each}.bin`), `${each}`);
        await settle(world);
        const edited = new Set<string>();
        let versions = 0;
        const play = async (each: (typeof before)[number]): Promise<PassResult | undefined> => {
          const folder = world.folders[each.which] ?? a;
          folder.disk.tick(3_000_000_000n);
          if (each.kind === "sync") return syncUntilDeath(folder, each.dies ?? undefined);
          const version = `version ${versions++}`;
          edit(folder, each.kind, each.at, version, edited);
          return undefined;
        };
        for (const each of before) await play(each);
        await settle(world);
        const meant = bodies(inD(a.disk.tree()));
        for (const text of meant) edited.delete(text);
        a.disk.remove(path("d"));
        const askedElsewhere: unknown[] = [];
        for (const each of waiting) {
          const result = await play(each);
          if (each.which !== 0) askedElsewhere.push(result?.held);
        }
        expect(askedElsewhere.filter((held) => held !== undefined)).toEqual([]);
        // What somebody else wrote over is not there; what is missing in the one folder only is.
        const there = bodies(await bucketTree(world.bucket));
        const elsewhere = others.map(({ disk }) => bodies(disk.tree()));
        const untouched = [...meant].filter((text) => elsewhere.every((each) => each.has(text)));
        expect(untouched.filter((text) => !there.has(text))).toEqual([]);
        const written = [...meant].filter((text) => elsewhere.some((each) => !each.has(text)));
        expect(written.length).toBeLessThanOrEqual(versions);
        for (const each of others) await each.sync();
        const asked = await a.sync();
        expect(asked.held?.where).toBe("bucket");
        // What comes meanwhile may be more of it, which is asked for again.
        expect((await a.sync({ allowDeletes: asked.held?.digest })).held).toBeUndefined();
        for (const each of after) expect((await play(each))?.held).toBeUndefined();
        await settle(world);
        const tree = await bucketTree(world.bucket);
        for (const { disk } of world.folders) expect(disk.tree()).toEqual(tree);
        const left = bodies(tree);
        expect([...meant].filter((text) => left.has(text))).toEqual([]);
        for (const text of edited) expect(left).toContain(text);
      }),
      { numRuns: all ? 200 : 6, seed },
    );
  },
  all ? 3_600_000 : 120_000,
);

function inD(tree: ReadonlyMap<string, string>): Map<string, string> {
  return new Map([...tree].filter(([name]) => name.startsWith("d/")));
}

function bodies(tree: ReadonlyMap<string, string>): Set<string> {
  return new Set([...tree.values()].filter((text) => text !== "dir"));
}

async function syncUntilDeath(folder: SyncedFolder, dies: number | undefined): Promise<PassResult | undefined> {
  folder.disk.budget = dies;
  try {
    return await folder.sync();
  } catch (error) {
    if (error instanceof Crash || hasCode(error, "root_moved")) return undefined;
    throw error;
  } finally {
    folder.disk.budget = undefined;
  }
}

function edit(
  { disk }: SyncedFolder,
  kind: "beside" | "edit" | "make",
  at: number,
  version: string,
  edited: Set<string>,
): void {
  const tree = disk.tree();
  const name = kind === "beside" ? `beside ${at}.bin` : kind === "edit" ? `d/${at}.bin` : `d/new ${at}.bin`;
  if (kind === "edit" ? !tree.has(name) : kind === "make" && !tree.has("d")) return;
  // Who writes over a version means to replace it.
  edited.delete(tree.get(name) ?? "");
  disk.write(path(name), version);
  edited.add(version);
}
