/** What the overlay says that its changes need is enough: with only those roots left, an epoch is built as with all. */
import { constants } from "node:fs";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import type { Cid } from "../../../src/base/ids.ts";
import { DEFAULT_POLICY } from "../../../src/format/commits/policy.ts";
import { linksOf } from "../../../src/format/blocks/links.ts";
import type { Attributes } from "../../../src/vfs/filesystem.ts";
import { BlockMap } from "../../support/block-map.ts";
import { noise } from "../../support/bytes.ts";
import { VfsHarness } from "../../support/vfs-harness.ts";

const HEAVY = process.env["SYNCLINE_TEST_ALL"] !== undefined;
const { units } = DEFAULT_POLICY;

const FILES = ["a", "b", "d/c", "d/e/f"];
/** Several chunks. */
const BYTES = 300_000;

interface Change {
  readonly what: "write" | "replace" | "chmod" | "move" | "remove" | "create" | "move directory" | "remove directory";
  readonly at: number;
}
type Step =
  | ({ readonly who: "us" | "others" } & Change)
  /** During a publication. */
  | ({ readonly who: "us meanwhile" } & Change)
  | { readonly does: "removals" | "publish" | "restart" | "checkpoint" };

const change = {
  what: fc.constantFrom<Change["what"]>(
    "write",
    "write",
    "write",
    "replace",
    "chmod",
    "move",
    "remove",
    "create",
    "move directory",
    "remove directory",
  ),
  at: fc.nat({ max: 15 }),
};
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ who: fc.constantFrom("us" as const, "us meanwhile" as const), ...change }) },
  { weight: 3, arbitrary: fc.record({ who: fc.constant("others" as const), ...change }) },
  { weight: 2, arbitrary: fc.record({ does: fc.constantFrom("removals", "publish", "restart", "checkpoint") }) },
);

test("an epoch needs no root but the present base and the older ones that are told", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 12, size: "max" }), async (steps) => {
      const fs = await VfsHarness.create();
      const trees = new Map<Cid, Cid>();
      const note = () => trees.set(fs.root.commit, fs.root.tree);
      for (const directory of ["d", "d/e"]) await fs.makeDirectory(directory);
      for (const [seed, path] of FILES.entries()) await fs.write(await fs.make(path), 0, noise(BYTES, seed));
      await fs.publish();
      note();
      for (const [seed, each] of steps.entries()) {
        await happen(fs, each, seed + 10);
        note();
      }
      const { olderBases } = fs.objects.overlay.state;
      const told = [...olderBases.map(({ base }) => base.commit), fs.vfs.baseState().commit];
      const kept = told.flatMap((commit) => trees.get(commit) ?? []);
      expect(kept).toHaveLength(told.length);
      const left = new BlockMap();
      copyReachable(fs.blocks, kept, left);
      const built = await fs.buildWith(left, kept);
      const expected = await fs.buildWith(fs.blocks, [...trees.values()]);
      expect(built?.ours).toBe(expected?.ours);
      expect(built?.mergeBase).toBe(expected?.mergeBase);
      expect([built?.torn ?? 0, built?.gone.size ?? 0]).toEqual([0, 0]);
      // All of both can be read.
      if (built !== undefined) copyReachable(left, [built.ours, built.mergeBase], new BlockMap());
    }),
    { numRuns: HEAVY ? 2_000 : 100, endOnFailure: true },
  );
});

async function happen(fs: VfsHarness, step: Step, seed: number): Promise<void> {
  if ("who" in step) {
    const published = step.who === "us meanwhile" ? await fs.build() : undefined;
    if (step.who !== "others") await changeIn(fs, step, seed);
    if (published !== undefined) fs.finish(published);
    if (step.who !== "others") return;
    const base = await fs.others(async (other) => {
      await changeIn(other, step, seed);
      await other.make(`theirs${seed}`);
    });
    if (!(await fs.vfs.adopt(base, units))) throw new Error("not adopted");
  } else if (step.does === "publish") {
    await fs.publish();
  } else if (step.does === "removals") {
    if (fs.vfs.seal(true, units) !== undefined) await fs.publish();
  } else {
    await fs.vfs.sync();
    if (step.does === "checkpoint") await fs.vfs.checkpoint();
    fs.restart();
  }
}

/** Does nothing where the tree has nothing to do it to. */
async function changeIn(fs: VfsHarness, { what, at }: Change, seed: number): Promise<void> {
  const paths = [...(await fs.snapshot()).keys()];
  const found = await Promise.all(paths.map(async (path) => ({ path, is: await fs.find(path) })));
  const files = found.filter(({ is }) => isOf(is, constants.S_IFREG));
  const directories = found
    .filter(({ path, is }) => path !== "" && isOf(is, constants.S_IFDIR))
    .map(({ path }) => path);
  const { path, is } = files[at % Math.max(1, files.length)] ?? {};
  const directory = directories[at % Math.max(1, directories.length)];
  if (what === "create")
    return void (await fs.make(directory === undefined ? `new${seed}` : `${directory}/new${seed}`, "new"));
  if (directory !== undefined && what === "move directory") return fs.rename(directory, `moved${seed}`);
  if (directory !== undefined && what === "remove directory") return remove(fs, directory);
  if (path === undefined || is === undefined) return;
  if (what === "write") await fs.write(is.ino, (at * 20_000) % BYTES, noise(1_000, seed));
  if (what === "replace") {
    await fs.unlink(path);
    await fs.write(await fs.make(path), 0, noise(BYTES / 2, seed));
  }
  if (what === "chmod") await fs.run((vfs) => vfs.setAttributes(is.ino, { mode: 0o600 + (at % 8) }));
  if (what === "move") await fs.rename(path, `moved${seed}`);
  if (what === "remove") await fs.unlink(path);
}

async function remove(fs: VfsHarness, directory: string): Promise<void> {
  for (const name of await fs.list(directory)) {
    const path = `${directory}/${name}`;
    if (isOf(await fs.find(path), constants.S_IFDIR)) await remove(fs, path);
    else await fs.unlink(path);
  }
  const [parent, name] = await fs.place(directory);
  await fs.run((vfs) => vfs.removeDirectory(parent, name));
}

function isOf(attributes: Attributes | undefined, type: number): boolean {
  return attributes !== undefined && (attributes.mode & constants.S_IFMT) === type;
}

function copyReachable(from: BlockMap, roots: readonly Cid[], to: BlockMap): void {
  const left = [...roots];
  for (let cid = left.pop(); cid !== undefined; cid = left.pop()) {
    if (to.held.has(cid)) continue;
    const bytes = from.held.get(cid);
    if (bytes === undefined) throw new Error(`${cid} is gone`);
    to.held.set(cid, bytes);
    left.push(...linksOf(cid, bytes));
  }
}
