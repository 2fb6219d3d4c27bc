/**
 * A folder whose process dies behind its swap, and that comes back when the history no longer has its commit, nor what that was
 * made from. Meanwhile the other folder changes the same things. SYNCLINE_TEST_ALL: 600 histories.
 */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { keptCommits } from "../../../src/bucket/history.ts";
import { dropUnreached } from "../../support/drop-unreached.ts";
import {
  bucketTree,
  dyingAfterSwap,
  path,
  settle,
  settledTree,
  type SyncedFolder,
  type SyncWorld,
  twoFolders,
} from "../../support/sync-world.ts";
import { newWriter, nodesOf, openBucket } from "../../support/test-bucket.ts";
import { dropKept } from "../../support/thinning.ts";

const all = process.env["SYNCLINE_TEST_ALL"] !== undefined;
const seed = Number(process.env["SYNCLINE_TEST_SEED"] ?? 72);
const runs = { numRuns: all ? 600 : 25, seed };
const NAMES = ["a", "b", "c", "d", "d/x", "d/y", "e", "e/x"];

const action = fc.record({
  kind: fc.constantFrom(
    "write" as const,
    "write" as const,
    "save" as const,
    "backup" as const,
    "move" as const,
    "remove" as const,
    "make" as const,
  ),
  at: fc.nat(NAMES.length - 1),
  to: fc.nat(NAMES.length - 1),
});
type Action = typeof action extends fc.Arbitrary<infer Each> ? Each : never;
const actions = (maxLength: number) => fc.array(action, { maxLength, size: "max" });

/** Performs the action where it is possible. */
function act({ disk }: SyncedFolder, { kind, at, to }: Action, text: string): void {
  const [from, target] = [NAMES[at] ?? "", NAMES[to] ?? ""];
  const there = disk.tree();
  const hasRoom = (name: string) => !name.includes("/") || there.get(name.split("/")[0] ?? "") === "dir";
  disk.tick(3_000_000_000n);
  if (kind === "remove") {
    if (there.has(from)) disk.remove(path(from));
  } else if (kind === "move") {
    const isInside = target === from || target.startsWith(`${from}/`) || from.startsWith(`${target}/`);
    if (there.has(from) && hasRoom(target) && !isInside && !there.has(target)) disk.move(path(from), path(target));
  } else if (!hasRoom(from)) return;
  else if (kind === "make") {
    if (!there.has(from)) disk.make(path(from));
  } else if (there.get(from) !== "dir") {
    if (kind === "backup" && there.has(from)) disk.move(path(from), path(`${from}~`));
    disk[kind === "save" ? "save" : "write"](path(from), text);
  }
}

async function thin({ remote }: SyncWorld): Promise<void> {
  const bucket = await openBucket(remote);
  const { commit } = await bucket.head();
  const seqs = [];
  for await (const { seq } of keptCommits(nodesOf(bucket), commit)) seqs.push(seq);
  await dropKept(await newWriter(bucket, 999), seqs);
  await dropUnreached(remote);
}

async function play(before: readonly Action[], sent: readonly Action[], theirs: readonly Action[]) {
  const { world, a, b } = await twoFolders();
  let texts = 0;
  const by = (folder: SyncedFolder, name: string, some: readonly Action[]) => {
    for (const each of some) act(folder, each, `${++texts} by ${name}\n`.repeat(30));
    folder.disk.tick(3_000_000_000n);
  };
  by(a, "a", before);
  await settle(world);
  by(a, "a", sent);
  await dyingAfterSwap(a);
  await b.sync();
  by(b, "b", theirs);
  await b.sync();
  await b.sync();
  return { world, a, b, by };
}

test(
  "brings nothing back, and shows what others made of it",
  async () => {
    await fc.assert(
      fc.asyncProperty(actions(10), actions(8), actions(8), async (before, sent, theirs) => {
        const { world, a, b } = await play(before, sent, theirs);
        await thin(world);
        const whole = Object.fromEntries(b.disk.tree());
        await settle(world);
        expect(Object.fromEntries(await bucketTree(world.bucket))).toEqual(whole);
        for (const { disk } of [a, b]) expect(Object.fromEntries(disk.tree())).toEqual(whole);
      }),
      runs,
    );
  },
  all ? 3_600_000 : 120_000,
);

test(
  "keeps what was written there since",
  async () => {
    await fc.assert(
      fc.asyncProperty(actions(10), actions(8), actions(8), actions(6), async (before, sent, theirs, since) => {
        const { world, a, b, by } = await play(before, sent, theirs);
        by(a, "a since", since);
        await thin(world);
        const written = [...a.disk.tree().values()].filter((text) => text.includes("by a since"));
        const whole = Object.fromEntries(await settledTree(world));
        expect(written.filter((text) => !Object.values(whole).includes(text))).toEqual([]);
        expect(Object.fromEntries(b.disk.tree())).toEqual(whole);
      }),
      runs,
    );
  },
  all ? 3_600_000 : 120_000,
);
