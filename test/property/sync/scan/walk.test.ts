/** A scan that passes over what is as it was seen comes to just what one comes to that looks at everything. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { NO_RULES, parseRules, type IgnoreRules } from "../../../../src/sync/scan/ignore-rules.ts";
import { findChanges } from "../../../../src/sync/scan/find-changes.ts";
import { match } from "../../../../src/sync/scan/match.ts";
import { walk, type SeenBefore } from "../../../../src/sync/scan/walk.ts";
import { killed, path, type SyncedFolder, type SyncWorld, twoFolders } from "../../../support/sync-world.ts";

const all = process.env["SYNCLINE_TEST_ALL"] !== undefined;
const named = process.env["SYNCLINE_TEST_SEED"];
const DIRECTORIES = ["d", "e", "d/k", "e/k"];

const directory = fc.constantFrom(...DIRECTORIES);
const place = fc
  .tuple(fc.constantFrom("", "d/", "e/", "d/k/", "e/k/"), fc.constantFrom("a", "b", "c", "k"))
  .map((parts) => parts.join(""));
const action = fc.oneof(
  fc.record({
    kind: fc.constantFrom("write" as const, "save" as const, "remove" as const, "chmod" as const, "symlink" as const),
    at: place,
  }),
  fc.record({ kind: fc.constantFrom("move" as const, "exchange" as const, "link" as const), at: place, to: place }),
  fc.record({ kind: fc.constantFrom("move" as const, "exchange" as const), at: directory, to: directory }),
  fc.record({ kind: fc.constant("make" as const), at: directory }),
);
const step = fc.record({
  folder: fc.nat(1),
  actions: fc.array(action, { maxLength: 3 }),
  /** Looks may be hasty. */
  tick: fc.constantFrom(0n, 10_000_000n, 3_000_000_000n),
  rules: fc.constantFrom("", "", "/d/a\n", "/d/k/\n", "k\n"),
  closed: fc.option(directory, { nil: undefined, freq: 5 }),
  isRemounted: fc.nat(5).map((each) => each === 0),
  mounted: fc.option(directory, { nil: undefined, freq: 5 }),
  ends: fc.oneof(
    fc.constantFrom("sync" as const, "sync" as const, "nothing" as const),
    fc.record({ dies: fc.nat(12) }),
  ),
});

test(
  "a scan that skips unchanged entries finds what a full scan finds",
  async () => {
    let passedOver = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 3, maxLength: 12 }), async (steps) => {
        const { world, a, b } = await twoFolders();
        for (const each of DIRECTORIES) {
          a.disk.make(path(each));
          for (const name of ["a", "b"]) a.disk.write(path(`${each}/${name}`), `${each}${name}`);
        }
        for (const folder of [a, b, a, b]) {
          await folder.sync();
          folder.disk.tick(3_000_000_000n);
        }
        let actions = 0;
        for (const { folder, actions: whats, tick, rules: text, closed, isRemounted, mounted, ends } of steps) {
          const each = folder === 0 ? a : b;
          for (const what of whats) await done(each, what, `version ${actions++}`);
          each.disk.tick(tick);
          if (isRemounted) each.disk.renumber();
          const rules = text === "" ? NO_RULES : await parseRules(text);
          const undo = hinder(each, closed, mounted);
          const passing = await comesTo(world, each, rules, each.db);
          expect(passing.text).toEqual((await comesTo(world, each, rules)).text);
          passedOver += passing.settled;
          undo();
          if (ends === "sync") await each.sync();
          else if (ends !== "nothing") await killed(each, ends.dies);
        }
      }),
      { numRuns: all ? 1_500 : 25, seed: Number(named ?? 71) },
    );
    expect(passedOver).toBeGreaterThan(0);
  },
  all ? 3_600_000 : 120_000,
);

/** All that a scan tells, in an order of its own. */
async function comesTo(
  { bucket }: SyncWorld,
  { disk, db }: SyncedFolder,
  rules: IgnoreRules,
  before?: SeenBefore,
): Promise<{ text: string; settled: number }> {
  const lookedNs = disk.nowNs();
  const walked = await walk(disk, rules, before);
  const matching = match(db, walked, { now: rules, last: rules });
  const options = { disk, content: bucket.contentConfig, attention: { modeMask: 0o1777, owners: false }, lookedNs };
  const local = await findChanges(matching, { ...options, block: async () => new Uint8Array(), unstable: new Set() });
  // Numbers of inodes are those of one scan.
  const whose = new Map(matching.objects.map(({ ino, id, found }) => [ino, id ?? `new ${found[0]?.path.join("/")}`]));
  for (const [ino, id] of local.directories) whose.set(ino, id);
  const changes = local.changes.map(({ object, action: what, changed }) => {
    const names = changed.names.map(({ parent, name }) => `${whose.get(parent)} ${name}`).sort();
    return textOf([whose.get(object.ino), what, object.kept, { ...changed, ino: 0, names }]);
  });
  const observed = local.observed.map(({ object, found, entry, seen }) =>
    textOf([whose.get(object.ino), found.path, entry, seen]),
  );
  const sources = [...local.sources].map(([ino, { path: at }]) => textOf([whose.get(ino), at]));
  const told = [changes, observed, sources, local.deletedFiles.map(textOf)].map((each) => each.sort());
  return { text: textOf([...told, walked.special, walked.mounts, walked.unreadable]), settled: walked.settled.size };
}

function textOf(value: unknown): string {
  return JSON.stringify(value, (_, each: unknown) => {
    if (typeof each === "bigint") return `${each}`;
    return each instanceof Map ? [...each] : each;
  });
}

/** What cannot be done is not. */
async function done(
  { disk }: SyncedFolder,
  what: typeof action extends fc.Arbitrary<infer Action> ? Action : never,
  text: string,
): Promise<void> {
  const at = path(what.at);
  try {
    if (what.kind === "make") disk.make(at);
    else if (what.kind === "write") disk.write(at, text);
    else if (what.kind === "save") disk.save(at, text);
    else if (what.kind === "remove") disk.remove(at);
    else if (what.kind === "chmod") disk.chmod(at, 0o600);
    else if (what.kind === "symlink") await disk.makeSymlink(at, text);
    else if (what.kind === "link") await disk.link(at, path(what.to));
    else if ("to" in what && !`${what.to}/`.startsWith(`${what.at}/`) && !`${what.at}/`.startsWith(`${what.to}/`))
      disk.move(at, path(what.to), what.kind === "move" ? "replace" : "exchange");
  } catch {
    // There is nothing, or no room.
  }
}

/** A directory that cannot be read, and one on which something is mounted, until it is undone. */
function hinder({ disk }: SyncedFolder, closed: string | undefined, mounted: string | undefined): () => void {
  const { list } = disk;
  disk.list = async (at) => {
    if (at.join("/") === closed) throw Object.assign(new Error("EACCES"), { code: "EACCES" });
    const entries = await list.call(disk, at);
    return entries.map(({ name, stat }) => {
      return { name, stat: [...at, name].join("/") === mounted ? { ...stat, dev: 99n } : stat };
    });
  };
  return () => {
    disk.list = list;
  };
}
