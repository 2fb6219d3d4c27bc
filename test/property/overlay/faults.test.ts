/** What the overlay keeps when its process dies, its power goes, or its disk is full, at any call to the disk. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ERRNO } from "../../../src/base/errno.ts";
import { hasCode, SynclineError } from "../../../src/base/errors.ts";
import type { Ino } from "../../../src/base/ids.ts";
import { DEFAULT_POLICY } from "../../../src/format/commits/policy.ts";
import { LocalDisk } from "../../support/local-disk.ts";
import { seededRandom } from "../../../src/simulate/seeded-random.ts";
import { Stopped } from "../../../src/simulate/disks/faulty-disk.ts";
import { diskFull, type OverlayCall } from "../../../src/simulate/disks/simulated-disk.ts";
import { VfsHarness } from "../../support/vfs-harness.ts";
import { anyOperation, applyTo, treeOf } from "../../support/vfs-operations.ts";
import type { Operation } from "../../support/vfs-operations.ts";

const HEAVY = process.env["SYNCLINE_TEST_ALL"] !== undefined;
const RUNS = HEAVY ? 2_000 : 80;

interface Housekeeping {
  readonly op: "publish" | "checkpoint" | "fsync" | "seal" | "removals" | "wait";
  readonly path: string;
  /** An fsync that is done at once if it can be. */
  readonly quick: boolean;
}

type Step = Operation | Housekeeping;

const HOUSEKEEPING: ReadonlySet<string> = new Set(["publish", "checkpoint", "fsync", "seal", "removals", "wait"]);

const housekeeping = fc.record({
  op: fc.constantFrom("publish", "checkpoint", "fsync", "fsync", "seal", "removals", "wait"),
  path: fc.constantFrom("a", "b"),
  quick: fc.boolean(),
});
const steps = fc.array(
  fc.oneof({ weight: 4, arbitrary: anyOperation }, { weight: 1, arbitrary: housekeeping }) as fc.Arbitrary<Step>,
  { minLength: 1, maxLength: HEAVY ? 80 : 40, size: "max" },
);
const seed = fc.integer({ min: 0, max: 1e9 });

/** One file on its own that is written and fsynced over and over, so that the journal carries much of it. */
const START_BYTES = 100_000;
const offset = fc.oneof(fc.integer({ min: 0, max: 6_000 }), fc.integer({ min: 90_000, max: 120_000 }));
const piece = (most: number) =>
  fc
    .tuple(fc.integer({ min: 1, max: most }), fc.integer({ min: 1, max: 250 }))
    .map(([length, byte]) => new Uint8Array(length).fill(byte));
const writing = (most: number) =>
  fc.record({ op: fc.constant("write" as const), path: fc.constant("a"), offset, bytes: piece(most) });
const stormOf = (...chores: Housekeeping["op"][]) =>
  fc.array(
    fc.oneof(
      { weight: 6, arbitrary: writing(6_000) },
      { weight: 1, arbitrary: writing(30_000) },
      {
        weight: 4,
        arbitrary: fc.record({ op: fc.constantFrom(...chores), path: fc.constant("a"), quick: fc.boolean() }),
      },
    ) as fc.Arbitrary<Step>,
    { minLength: 1, maxLength: HEAVY ? 60 : 30, size: "max" },
  );
const storm = stormOf("fsync", "fsync", "wait", "checkpoint");

/** Half of all machines write the objects of a checkpoint a few at a time. */
function machine(chance: number): Promise<VfsHarness> {
  return VfsHarness.create(chance % 2 === 0 ? {} : { checkpointBytes: 4096 });
}

describe("a process that dies at any disk call", () => {
  test("loses nothing that it acknowledged", async () => {
    await fc.assert(
      fc.asyncProperty(steps, fc.nat({ max: 400 }), async (all, stopAt) => {
        using local = new LocalDisk(mkdtempSync(join(tmpdir(), "syncline-local-")));
        const fs = await machine(stopAt);
        const stop = stopAfter(fs, stopAt);
        const cut = await runUntilStopped(fs, all, local, (step) => void applyLocally(local, step));
        const before = local.tree();
        if (cut !== undefined) applyLocally(local, cut);
        const after = local.tree();
        stop.paused = true;
        fs.restart();
        const found = await treeOf(fs);
        // The call that it died in may have been done or not; a write may have been done in part.
        if (cut?.op === "write") for (const tree of [found, before, after]) forgetContents(tree);
        expect([[...before], [...after]]).toContainEqual([...found]);
        await fs.publish();
        await fs.publish();
        expect((await treeOf(fs)).size).toBe(found.size);
      }),
      { numRuns: RUNS },
    );
  });
});

describe("a process that follows one that died at any disk call", () => {
  test("loses nothing either, when the last call is sent again and others follow", async () => {
    await fc.assert(
      fc.asyncProperty(stormOf("fsync", "wait", "publish"), fc.nat({ max: 250 }), async (all, stopAt) => {
        const fs = await machine(stopAt);
        await applyTo(fs, { op: "create", path: "a" });
        await applyTo(fs, { op: "write", path: "a", offset: 0, bytes: new Uint8Array(START_BYTES).fill(255) });
        let expected = await fs.read(await fs.ino("a"));
        const note = (step: Step) => {
          if (step.op === "write") expected = overwritten(expected, step);
        };
        await fs.publish();
        const stop = stopAfter(fs, stopAt);
        const cut = await runUntilStopped(fs, all, undefined, note);
        stop.paused = true;
        fs.restart();
        for (const step of cut === undefined ? [] : all.slice(all.indexOf(cut))) {
          await play(fs, step);
          note(step);
        }
        await fs.vfs.fsync(await fs.ino("a"));
        // Time for data files to be removed.
        await fs.advance(2_000);
        fs.restart();
        expect((await fs.read(await fs.ino("a"))).equals(expected)).toBe(true);
        await fs.publish();
        expect((await fs.read(await fs.ino("a"))).equals(expected)).toBe(true);
      }),
      { numRuns: RUNS },
    );
  });
});

/** What one state showed: path → metadata with its inode, and inode → contents. */
interface State {
  readonly names: Map<string, string>;
  readonly contents: Map<Ino, string>;
}

describe("a power loss at any disk call", () => {
  test("leaves an earlier state, no older than the last fsync, with the fsynced contents", async () => {
    await fc.assert(
      fc.asyncProperty(steps, fc.nat({ max: 400 }), seed, async (all, stopAt, chance) => {
        const fs = await machine(stopAt);
        const states: State[] = [await stateOf(fs)];
        let durable = 0;
        const syncedAt = new Map<Ino, number>();
        const stop = stopAfter(fs, stopAt);
        const cut = await runUntilStopped(fs, all, undefined, async (step) => {
          stop.paused = true;
          states.push(await stateOf(fs));
          if (step.op === "fsync") {
            const ino = (await fs.find(step.path))?.ino;
            if (ino !== undefined) syncedAt.set(ino, (durable = states.length - 1));
          }
          stop.paused = false;
        });
        // What it was changing may be changed in part.
        if (cut?.op === "write" || cut?.op === "truncate") {
          const ino = states.at(-1)?.names.get(cut.path)?.split(" ")[0];
          syncedAt.delete(Number(ino) as Ino);
        }
        fs.restart(seededRandom(chance));
        const found = await stateOf(fs);
        const possible = states.slice(durable).map(({ names }) => Array.from(names));
        expect(possible).toContainEqual(Array.from(found.names));
        const promised = new Map([...found.contents].map(([ino]) => [ino, promisedContents(states, syncedAt, ino)]));
        for (const [ino, contents] of found.contents) expect([contents, undefined]).toContain(promised.get(ino));
        // What was recovered is as durable as before, also when a checkpoint has emptied the journal.
        await fs.vfs.checkpoint();
        fs.restart(seededRandom(chance + 1));
        const again = await stateOf(fs);
        expect([...again.names]).toEqual([...found.names]);
        await fs.publish();
        await fs.publish();
        const published = await stateOf(fs);
        for (const [ino, contents] of promised)
          for (const { contents: kept } of contents === undefined ? [] : [again, published])
            expect(kept.get(ino)).toBe(contents);
      }),
      { numRuns: RUNS },
    );
  });

  test("leaves everything that was synced, even if a sync of the tables failed before", async () => {
    await fc.assert(
      fc.asyncProperty(steps, fc.nat({ max: 3 }), seed, async (all, failing, chance) => {
        const fs = await machine(failing);
        let left = failing;
        fs.disk.before = (call) => {
          if (call === "sync tables" && left-- === 0) throw new SynclineError("store_failed", "The sync failed.");
        };
        for (const step of all) {
          try {
            await play(fs, step);
          } catch (error) {
            if (!hasCode(error, "store_failed")) throw error;
          }
        }
        left = -1;
        await fs.vfs.sync();
        const { names } = await stateOf(fs);
        fs.restart(seededRandom(chance));
        expect([...(await stateOf(fs)).names]).toEqual([...names]);
      }),
      { numRuns: RUNS },
    );
  });

  test("leaves at each offset of a constantly fsynced file a byte of the last fsync or a later write", async () => {
    await fc.assert(
      fc.asyncProperty(storm, fc.nat({ max: 250 }), seed, async (all, stopAt, chance) => {
        const fs = await machine(stopAt);
        await applyTo(fs, { op: "create", path: "a" });
        await applyTo(fs, { op: "write", path: "a", offset: 0, bytes: new Uint8Array(START_BYTES).fill(255) });
        const ino = await fs.ino("a");
        await fs.vfs.fsync(ino);
        const versions = [await fs.read(ino)];
        const stop = stopAfter(fs, stopAt);
        const cut = await runUntilStopped(fs, all, undefined, async (step) => {
          stop.paused = true;
          if (step.op === "fsync") versions.length = 0;
          versions.push(await fs.read(ino));
          stop.paused = false;
        });
        // The write that it stopped in may have been done, or in part.
        if (cut?.op === "write") versions.push(overwritten(versions.at(-1), cut));
        for (const again of [0, 1]) {
          fs.restart(seededRandom(chance + again));
          expect(strange(await fs.read(ino), versions)).toEqual([]);
          await fs.vfs.checkpoint();
        }
      }),
      { numRuns: RUNS },
    );
  });
});

function overwritten(before: Buffer = Buffer.alloc(0), { offset, bytes }: Extract<Step, { op: "write" }>): Buffer {
  const after = Buffer.alloc(Math.max(before.length, offset + bytes.length));
  before.copy(after);
  after.set(bytes, offset);
  return after;
}

/** The first place, if any, whose byte none of the versions has there. What is past the end is zero. */
function strange(found: Buffer, versions: readonly Buffer[]): string[] {
  for (let at = 0; at < found.length; at++) {
    const byte = found[at];
    if (!versions.some((version) => (version[at] ?? 0) === byte)) return [`${byte} at ${at}`];
  }
  return [];
}

describe("a full disk", () => {
  test("fails whole calls, at any disk call, and works again once there is space", async () => {
    await fc.assert(
      fc.asyncProperty(steps, fc.nat({ max: 60 }), fc.nat({ max: 10 }), async (all, fullAt, fullFor) => {
        using local = new LocalDisk(mkdtempSync(join(tmpdir(), "syncline-local-")));
        const fs = await machine(fullAt);
        let calls = 0;
        fs.disk.before = (call) => {
          if (!NEEDS_SPACE.has(call)) return;
          calls++;
          if (calls >= fullAt && calls < fullAt + fullFor) throw diskFull();
        };
        for (const step of all) if (mayCompare(local, step)) await stepOnFullDisk(fs, local, step);
        expect(await treeOf(fs)).toEqual(local.tree());
        fs.restart();
        expect(await treeOf(fs)).toEqual(local.tree());
      }),
      { numRuns: RUNS },
    );
  });

  test("still lets files be removed, and leaves the rest intact", async () => {
    const fs = await VfsHarness.create();
    const made: string[] = [];
    fs.disk.capacity = fs.disk.used + 600_000;
    for (let index = 0; ; index++) {
      const errno = await applyTo(fs, { op: "create", path: `f${index}` });
      if (errno === 0) made.push(`f${index}`);
      const write = { op: "write" as const, path: `f${index}`, offset: 0, bytes: new Uint8Array(20_000).fill(index) };
      if (errno !== 0 || (await applyTo(fs, write)) === ERRNO.ENOSPC) break;
    }
    // Now the journal fills up too, down to its reserve.
    while ((await applyTo(fs, { op: "chmod", path: made[0] ?? "", mode: 0o600 })) === 0);
    const before = await treeOf(fs);
    expect(await applyTo(fs, { op: "mkdir", path: "d" })).toBe(ERRNO.ENOSPC);
    expect(await treeOf(fs)).toEqual(before);
    for (const path of made.slice(1)) {
      expect(await applyTo(fs, { op: "unlink", path })).toBe(0);
      before.delete(path);
    }
    fs.restart();
    expect([...(await treeOf(fs)).keys()]).toEqual([...before.keys()]);
  });
});

/** What was fsynced and did not change since; undefined when it was not, or did. */
function promisedContents(states: readonly State[], syncedAt: ReadonlyMap<Ino, number>, ino: Ino): string | undefined {
  const since = syncedAt.get(ino);
  const versions = new Set(since === undefined ? [] : states.slice(since).map((state) => state.contents.get(ino)));
  return versions.size === 1 ? [...versions][0] : undefined;
}

const NEEDS_SPACE: ReadonlySet<OverlayCall> = new Set(["create", "grow", "apply"]);

/** The process dies at the call after so many, unless that is paused. */
function stopAfter(fs: VfsHarness, calls: number): { paused: boolean } {
  const stop = { paused: false };
  let left = calls;
  fs.disk.before = () => {
    if (!stop.paused && left-- <= 0) throw new Stopped();
  };
  return stop;
}

/** Plays the steps; answers the one that the process died in, if it did. */
async function runUntilStopped(
  fs: VfsHarness,
  all: readonly Step[],
  local: LocalDisk | undefined,
  done: (step: Step) => void | Promise<void>,
): Promise<Step | undefined> {
  for (const step of all) {
    if (local !== undefined && !mayCompare(local, step)) continue;
    try {
      await play(fs, step);
    } catch (error) {
      if (error instanceof Stopped || (error instanceof Error && error.cause instanceof Stopped)) return step;
      throw error;
    }
    await done(step);
  }
  return undefined;
}

async function play(fs: VfsHarness, step: Step): Promise<number> {
  if (!isHousekeeping(step)) return applyTo(fs, step);
  if (step.op === "publish") await fs.publish();
  if (step.op === "checkpoint") await fs.vfs.checkpoint();
  if (step.op === "seal") fs.vfs.seal();
  if (step.op === "removals") fs.vfs.seal(true, DEFAULT_POLICY.units);
  // What the journal carries depends on how long ago an fsync was.
  if (step.op === "wait") await fs.advance(2_000);
  const at = step.op === "fsync" ? await fs.find(step.path) : undefined;
  if (at !== undefined && !(step.quick && fs.vfs.fsyncNow(at.ino))) await fs.vfs.fsync(at.ino);
  return 0;
}

async function stepOnFullDisk(fs: VfsHarness, local: LocalDisk, step: Step): Promise<void> {
  try {
    const errno = await play(fs, step);
    if (errno !== ERRNO.ENOSPC) applyLocally(local, step);
  } catch (error) {
    // Sealing, publishing and checkpoints say so themselves, and can be tried again.
    if (!hasCode(error, "disk_full")) throw error;
  }
}

function applyLocally(local: LocalDisk, step: Step): void {
  if (isHousekeeping(step)) return;
  local.apply(step);
}

/** The local disk follows symlinks where the kernel would not have asked the filesystem. */
function mayCompare(local: LocalDisk, { op, path }: Step): boolean {
  return (op !== "write" && op !== "truncate" && op !== "chmod") || local.isFile(path);
}

function isHousekeeping(step: Step): step is Housekeeping {
  return HOUSEKEEPING.has(step.op);
}

function forgetContents(tree: Map<string, string>): void {
  for (const [path, what] of tree) if (what.startsWith("file")) tree.set(path, what.replace(/ \d+ \S*$/, ""));
}

async function stateOf(fs: VfsHarness): Promise<State> {
  const names = new Map<string, string>();
  const contents = new Map<Ino, string>();
  const walk = async (path: string): Promise<void> => {
    const at = await fs.find(path);
    if (at === undefined) throw new Error(`the listing names ${path}, but the lookup does not find it`);
    const isDirectory = (at.mode & 0o170000) === 0o040000;
    names.set(path, `${at.ino} ${at.mode.toString(8)} ${at.nlink} ${at.size}`);
    if (isDirectory) for (const name of await fs.list(path)) await walk(path === "" ? name : `${path}/${name}`);
    else if ((at.mode & 0o170000) === 0o100000)
      contents.set(at.ino, (await fs.read(at.ino, 0, at.size)).toString("base64"));
  };
  await walk("");
  return { names, contents };
}
