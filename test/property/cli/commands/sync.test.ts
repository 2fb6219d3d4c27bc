/**
 * Folders that sync with one bucket, edited at random, with swaps whose answers are lost, processes that die anywhere and actions
 * at any moment, as the oracle judges them after each pass. SYNCLINE_TEST_ALL: hundreds of histories of either kind.
 */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { hasCode } from "../../../../src/base/errors.ts";
import type { PassResult } from "../../../../src/sync/pass-result.ts";
import type { Most } from "../../../../src/sync/scan/walk.ts";
import type { SwapFault } from "../../../support/memory-remote.ts";
import { Crash } from "../../../../src/simulate/folder/memory-sync-disk.ts";
import { SyncOracle } from "../../../support/sync-oracle.ts";
import {
  bucketTree,
  pair,
  path,
  settle,
  syncWorld,
  type SyncedFolder,
  type SyncWorld,
  Unrest,
} from "../../../support/sync-world.ts";

const all = process.env["SYNCLINE_TEST_ALL"] !== undefined;
/** The same ones each time: another seed plays others. */
const named = process.env["SYNCLINE_TEST_SEED"];
const runsOf = (seed: number, many: number) => ({ numRuns: all ? many : 8, seed: Number(named ?? seed) });
const patience = all ? 3_600_000 : 120_000;

const folder = fc.nat(1);
/** Which of the paths that are there, and which new name. */
const pick = fc.nat(40);
const fresh = fc.constantFrom("a", "b", "c", "d", "a/x", "b/x", "c/y", "d/y", "a/b/z");
/** What people and programs do in a folder: at any moment, and between passes. */
const write = fc.record({ kind: fc.constant("write" as const), at: fresh });
const save = fc.record({ kind: fc.constantFrom("edit" as const, "save" as const, "backup" as const), pick });
const action = fc.oneof(
  { weight: 4, arbitrary: write },
  { weight: 3, arbitrary: save },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("remove" as const), pick }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("move" as const), pick, at: fresh }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("exchange" as const), pick, other: pick }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("make" as const), at: fresh }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("chmod" as const), pick }) },
);
/**
 * A pass: the process may die before one of its changes of the disk, before it notes what it did, or as it sends a swap; somebody may do
 * something meanwhile, before or after its scan; and the bucket may be away.
 */
const pass = fc.record({
  kind: fc.constant("sync" as const),
  dies: fc.oneof(
    { weight: 6, arbitrary: fc.constant(undefined) },
    { weight: 2, arbitrary: fc.record({ change: fc.nat(16) }) },
    { weight: 1, arbitrary: fc.record({ note: fc.nat(4) }) },
    { weight: 1, arbitrary: fc.record({ swap: fc.nat(2) }) },
  ),
  meanwhile: fc.option(fc.record({ isScanned: fc.nat(3).map((each) => each > 0), change: fc.nat(5), action }), {
    nil: undefined,
  }),
  /** The bucket cannot be reached. */
  away: fc.nat(3).map((each) => each === 0),
});
type SyncPass = typeof pass extends fc.Arbitrary<infer Each> ? Each : never;
const mortalPass = pass.map((each) => ({ ...each, meanwhile: undefined }));
const QUIET = { kind: "sync" as const, dies: undefined, meanwhile: undefined, away: false };
const quietPass = fc.constant(QUIET);
/** Swaps that are late arrive before the step. */
const lands = fc.nat(5).map((each) => each === 0);
/** In each step somebody does something in a folder, or a pass is played there. */
const historiesOf = (passes: fc.Arbitrary<SyncPass>, actions: fc.Arbitrary<Action> = action) =>
  fc.array(
    fc.record({ folder, lands, what: fc.oneof({ weight: 2, arbitrary: actions }, { weight: 1, arbitrary: passes }) }),
    { minLength: 5, maxLength: 40, size: "max" },
  );
const swapFaults = fc.array(fc.constantFrom<SwapFault>("none", "none", "none", "committed-unseen", "lost", "late"), {
  maxLength: 6,
});
/** A mount of a filesystem that numbers its inodes anew. */
const remount = fc.record({ kind: fc.constant("remount" as const) });
type Action = typeof action | typeof remount extends fc.Arbitrary<infer Each> ? Each : never;

/** In portions of one or two new things nearly every pass has several. */
describe.each([
  { how: "at once", portion: undefined, seeds: 0 },
  { how: "a thing at a time", portion: { things: 1, bytes: 1_000_000 }, seeds: 1_000 },
  { how: "two things at a time", portion: { things: 2, bytes: 1_000_000 }, seeds: 2_000 },
])("when new things are sent $how", ({ portion, seeds }) => {
  const many = (histories: number) => (portion === undefined ? histories : histories / 5);

  test(
    "whatever is edited, all folders converge on one tree, nothing is lost and nothing replaced comes back",
    async () => {
      await fc.assert(
        fc.asyncProperty(historiesOf(quietPass), swapFaults, async (history, faults) => {
          const { oracle, rests } = await playAll(history, faults, portion);
          const { lost, back } = oracle;
          expect(rests).toBe(true);
          expect([...lost, ...back]).toEqual([]);
        }),
        runsOf(53 + seeds, many(400)),
      );
    },
    patience,
  );

  test(
    "wherever processes die and whatever happens during a sync pass, nothing is lost and all folders converge on one tree",
    async () => {
      await fc.assert(
        fc.asyncProperty(historiesOf(pass), swapFaults, async (history, faults) => {
          const { oracle, rests } = await playAll(history, faults, portion);
          expect(oracle.lost).toEqual([]);
          expect(rests).toBe(true);
        }),
        runsOf(61 + seeds, many(350)),
      );
    },
    patience,
  );

  test(
    "on a disk that numbers its inodes anew at each mount, nothing is lost and all folders converge on one tree",
    async () => {
      const actions = fc.oneof({ weight: 6, arbitrary: action }, { weight: 1, arbitrary: remount });
      await fc.assert(
        fc.asyncProperty(historiesOf(quietPass, actions), swapFaults, async (history, faults) => {
          const { oracle, rests } = await playAll(history, faults, portion);
          expect(oracle.lost).toEqual([]);
          expect(rests).toBe(true);
        }),
        runsOf(73 + seeds, many(200)),
      );
    },
    patience,
  );

  test(
    "wherever processes die, nothing replaced comes back",
    async () => {
      await fc.assert(
        fc.asyncProperty(historiesOf(mortalPass), swapFaults, async (history, faults) => {
          expect((await playAll(history, faults, portion)).oracle.back).toEqual([]);
        }),
        runsOf(67 + seeds, many(350)),
      );
    },
    patience,
  );
});

/** Moments that random histories seldom meet. */
test.each<{ what: string; history: readonly Step[]; end: Record<string, string> }>([
  {
    what: "a file removed while a pass completes what a killed one began is gone everywhere",
    history: [
      step(0, { kind: "exchange", pick: 0, other: 2 }),
      step(0, QUIET),
      step(1, { ...QUIET, dies: { change: 3 } }),
      step(1, { ...QUIET, meanwhile: { isScanned: false, change: 2, action: { kind: "remove", pick: 0 } } }),
    ],
    end: { a: "dir", "a/y": "version 2", c: "dir", "c/x": "version 0", d: "version 3" },
  },
  {
    what: "a file moved while others' save of it arrives gets that save, and its backup that is removed is gone everywhere",
    history: [
      step(0, { kind: "backup", pick: 2 }),
      step(0, QUIET),
      step(1, { ...QUIET, meanwhile: { isScanned: true, change: 0, action: { kind: "exchange", pick: 2, other: 3 } } }),
      step(1, { kind: "remove", pick: 6 }),
    ],
    end: { a: "dir", "a/x": "version 0", b: "dir", "b/y": "version 2", c: "version 4", d: "version 3" },
  },
])("$what", async ({ history, end }) => {
  const { oracle, rests, tree } = await playAll(history, [], undefined);
  expect([oracle.lost, oracle.back, rests]).toEqual([[], [], true]);
  expect(Object.fromEntries(tree)).toEqual(end);
});

function step(which: number, what: Step["what"]): Step {
  return { folder: which, lands: false, what };
}

interface Step {
  readonly folder: number;
  readonly lands: boolean;
  readonly what: Action | SyncPass;
}

async function playAll(
  history: readonly Step[],
  faults: readonly SwapFault[],
  portion: Most | undefined,
): Promise<{ oracle: SyncOracle; rests: boolean; tree: ReadonlyMap<string, string> }> {
  const world = await syncWorld(2);
  for (const each of world.folders) each.portion = portion;
  const oracle = new SyncOracle(world.bucket, portion !== undefined);
  let versions = 0;
  const version = () => `version ${versions++}`;
  // Without something that both have, most actions would find nothing.
  for (const at of ["a", "c"]) pair(world)[0].disk.make(path(at));
  for (const at of ["a/x", "b", "c/y", "d"]) pair(world)[0].disk.write(path(at), version());
  for (const each of pair(world)) await syncWhole(each, oracle);
  world.remote.faults.push(...faults);
  for (const { folder: which, lands: comes, what } of history) {
    if (comes) world.remote.landLate();
    const each = pair(world)[which === 0 ? 0 : 1];
    if (what.kind === "sync") await syncUntilDeath(world, each, what, oracle, version);
    else play(each, what, version);
  }
  world.remote.faults.length = 0;
  try {
    await settle(world, (each) => syncWhole(each, oracle));
  } catch (error) {
    if (!(error instanceof Unrest)) throw error;
    return { oracle, rests: false, tree: await bucketTree(world.bucket) };
  }
  const rests = await oracle.rests(world.folders.map(({ disk }) => disk));
  return { oracle, rests, tree: await bucketTree(world.bucket) };
}

function play({ disk }: SyncedFolder, each: Action, version: () => string): void {
  // Sometimes within one tick of the clock, sometimes much later.
  disk.tick(700_000n);
  if (each.kind === "remount") return disk.renumber();
  const tree = disk.tree();
  const files = [...tree].filter(([, text]) => text !== "dir");
  const paths = [...tree.keys()];
  if (each.kind === "write" || each.kind === "make") {
    if (tree.has(each.at) || !hasParent(tree, each.at)) return;
    if (each.kind === "make") disk.make(path(each.at));
    else disk.write(path(each.at), version());
    return;
  }
  if (each.kind === "edit" || each.kind === "save" || each.kind === "backup") {
    const file = files[each.pick % Math.max(files.length, 1)];
    if (file === undefined) return;
    if (each.kind === "backup" && tree.get(`${file[0]}~`) !== "dir") disk.move(path(file[0]), path(`${file[0]}~`));
    if (each.kind !== "save") disk.write(path(file[0]), version());
    else disk.save(path(file[0]), version());
    return;
  }
  const from = paths[each.pick % Math.max(paths.length, 1)];
  if (from === undefined) return;
  if (each.kind === "chmod") return disk.chmod(path(from), tree.get(from) === "dir" ? 0o750 : 0o640);
  if (each.kind === "remove") return disk.remove(path(from));
  const to = "at" in each ? each.at : "other" in each ? (paths[each.other % paths.length] ?? from) : from;
  if (to === from || to.startsWith(`${from}/`) || from.startsWith(`${to}/`)) return;
  if (each.kind === "move" && (tree.has(to) || !hasParent(tree, to))) return;
  disk.move(path(from), path(to), each.kind === "move" ? "free" : "exchange");
}

async function syncUntilDeath(
  { remote }: SyncWorld,
  folder: SyncedFolder,
  { dies, meanwhile, away }: SyncPass,
  oracle: SyncOracle,
  version: () => string,
): Promise<void> {
  const { disk } = folder;
  disk.tick(100_000_000n);
  disk.budget = dies !== undefined && "change" in dies ? dies.change : undefined;
  let swaps = dies !== undefined && "swap" in dies ? dies.swap : Infinity;
  remote.beforeSwap = async () => {
    if (swaps-- <= 0) throw new Crash("The process died.");
  };
  folder.notes = dies !== undefined && "note" in dies ? dies.note : undefined;
  await oracle.pass(disk, async (interrupt) => {
    let changes = 0;
    disk.before = () => {
      const { hasScanned } = folder;
      if (hasScanned !== meanwhile?.isScanned || changes++ !== meanwhile.change) return;
      interrupt(() => play(folder, meanwhile.action, version), hasScanned);
    };
    try {
      remote.unreachable = away;
      await folder.sync();
      return false;
    } catch (error) {
      if (error instanceof Crash || hasCode(error, "arbiter_unreachable")) return true;
      throw error;
    } finally {
      remote.unreachable = false;
      disk.budget = folder.notes = undefined;
      disk.before = () => {};
      remote.beforeSwap = async () => {};
    }
  });
}

async function syncWhole(folder: SyncedFolder, oracle: SyncOracle): Promise<PassResult> {
  let result: PassResult | undefined;
  await oracle.pass(folder.disk, async () => {
    result = await folder.sync();
    return false;
  });
  if (result === undefined) throw new Error("The pass was not played.");
  return result;
}

function hasParent(tree: ReadonlyMap<string, string>, at: string): boolean {
  const above = at.split("/").slice(0, -1).join("/");
  return above === "" || tree.get(above) === "dir";
}
