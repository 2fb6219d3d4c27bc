/**
 * One folder ignores its archive, another does not. Random edits in both also move files into the archive and out of it.
 * SYNCLINE_TEST_ALL: hundreds of histories.
 */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { bucketTree, killed, pair, path, settle, syncWorld, type SyncedFolder } from "../../support/sync-world.ts";

const all = process.env["SYNCLINE_TEST_ALL"] !== undefined;
const seed = Number(process.env["SYNCLINE_TEST_SEED"] ?? 91);
const RULES = ".synclineignore";

const isIgnoring = fc.nat(2).map((each) => each === 0);
const at = fc.nat(1_000);
const step = fc.oneof(
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("move" as const), isIgnoring, at, to: at }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("make" as const), isIgnoring, at, to: at }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("write" as const), isIgnoring, at, to: at }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("remove" as const), isIgnoring, at, to: at }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("sync" as const), isIgnoring, at, to: at }) },
);

test(
  "what is outside the archive is the same in folder and bucket; what nobody removed or wrote over is somewhere",
  async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 8, maxLength: 24, size: "max" }), async (steps) => {
        const world = await syncWorld(2);
        const [ignoring, other] = pair(world);
        other.disk.write(path(RULES), `/${RULES}\n`);
        await settle(world);
        for (const name of ["p", "p/q", "archive", "archive/n", "o"]) other.disk.make(path(name));
        const files = ["p/1", "p/q/2", "archive/0", "archive/n/3", "o/4", "5"];
        for (const name of files) other.disk.write(path(name), `first ${name}`);
        await settle(world);
        ignoring.disk.write(path(RULES), "/archive/\n");
        await settle(world);
        const kept = new Set(files.map((name) => `first ${name}`));
        const restarted = new Set<SyncedFolder>();
        for (const [version, each] of steps.entries()) {
          const folder = each.isIgnoring ? ignoring : other;
          folder.disk.tick(3_000_000_000n);
          if (each.kind !== "sync") edit(folder, each, `version ${version}`, kept);
          // Each fifth pass dies.
          else if (each.at % 5 > 0) await folder.sync({ again: restarted.delete(folder) });
          else if (await killed(folder, each.to % 30)) restarted.add(folder);
          folder.disk.budget = undefined;
        }
        await settle(world);
        const bucket = await bucketTree(world.bucket);
        expect(inSight(ignoring.disk.tree())).toEqual(inSight(bucket));
        const left = new Set(
          [bucket, ignoring.disk.tree(), other.disk.tree()].flatMap((tree) => Array.from(tree.values())),
        );
        expect([...kept].filter((text) => !left.has(text))).toEqual([]);
      }),
      { numRuns: all ? 400 : 25, seed, endOnFailure: true },
    );
  },
  all ? 3_600_000 : 120_000,
);

/** `kept`: what must be somewhere at the end. */
function edit(
  { disk }: SyncedFolder,
  { kind, at, to }: { readonly kind: string; readonly at: number; readonly to: number },
  text: string,
  kept: Set<string>,
): void {
  const tree = disk.tree();
  const names = [...tree.keys()].filter((name) => name !== RULES);
  const directories = ["", ...names.filter((name) => tree.get(name) === "dir").map((name) => `${name}/`)];
  const name = names[at % names.length] ?? "";
  const place = `${directories[to % directories.length]}${kind === "move" ? "x" : "f"}${to % 3}`;
  const old = tree.get(name);
  if (kind === "make" && !tree.has(place)) {
    disk.write(path(place), text);
    kept.add(text);
  }
  if (kind === "move" && name !== "archive" && !tree.has(place) && !place.startsWith(`${name}/`))
    disk.move(path(name), path(place));
  if (old === undefined || old === "dir") return;
  if (kind === "write" || kind === "remove") kept.delete(old);
  if (kind === "remove") disk.remove(path(name));
  if (kind === "write") {
    disk.write(path(name), text);
    kept.add(text);
  }
}

function inSight(tree: ReadonlyMap<string, string>): Record<string, string> {
  return Object.fromEntries([...tree].filter(([name]) => name !== RULES && !/^archive(\/|$)/.test(name)));
}
