/**
 * An agent on a bucket into which somebody with access wrote rows as they must not be: it serves what it can, refuses the rest
 * with an error of its own, publishes what it can, and ends. SYNCLINE_TEST_ALL: 2,000 buckets.
 */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { systemClock } from "../../../src/base/clock.ts";
import { SynclineError } from "../../../src/base/errors.ts";
import { ROOT_ID } from "../../../src/base/ids.ts";
import type { FileId } from "../../../src/base/ids.ts";
import { verifyBucket } from "../../../src/bucket/verify.ts";
import { birthId, parseKey } from "../../../src/format/files/keys.ts";
import { encodeDentry } from "../../../src/format/files/rows.ts";
import type { Edit, Entry } from "../../../src/tree/entry.ts";
import { FsError } from "../../../src/vfs/filesystem.ts";
import { Attacker, rawDentryKey } from "../../support/attacker.ts";
import { noise } from "../../support/bytes.ts";
import { name, recordOf } from "../../support/epochs.ts";
import { isDirectory } from "../../../src/simulate/judges/shown.ts";
import type { KernelMount } from "../../../src/simulate/kernel-mount.ts";
import { MemoryRemote } from "../../support/memory-remote.ts";
import { SimulatedAgent } from "../../support/simulated-agent.ts";
import { createBucket, openBucket } from "../../support/test-bucket.ts";

const all = process.env["SYNCLINE_TEST_ALL"] !== undefined;
const HUGE = Number.MAX_SAFE_INTEGER;
const BAD_NAMES = ["..", ".", "", "a/b", "a\0b", "n".repeat(256), "\xff\xfe", "new\nline"];

type Wrong =
  | { readonly kind: "drop"; readonly row: number }
  | { readonly kind: "swap"; readonly row: number; readonly other: number }
  | { readonly kind: "flip"; readonly row: number; readonly at: number; readonly bit: number }
  | { readonly kind: "cut"; readonly row: number; readonly at: number }
  | { readonly kind: "name"; readonly row: number; readonly name: number; readonly to: number }
  | { readonly kind: "size"; readonly name: number; readonly size: number }
  | { readonly kind: "move"; readonly row: number; readonly to: number };

const index = fc.nat(60);
const wrongs = fc.array(
  fc.oneof<fc.Arbitrary<Wrong>[]>(
    fc.record({ kind: fc.constant("drop" as const), row: index }),
    fc.record({ kind: fc.constant("swap" as const), row: index, other: index }),
    fc.record({ kind: fc.constant("flip" as const), row: index, at: fc.nat(80), bit: fc.nat(7) }),
    fc.record({ kind: fc.constant("cut" as const), row: index, at: fc.nat(80) }),
    fc.record({ kind: fc.constant("name" as const), row: index, name: fc.nat(BAD_NAMES.length - 1), to: index }),
    fc.record({ kind: fc.constant("size" as const), name: fc.nat(3), size: fc.constantFrom(1, 5_000, 2 ** 40, HUGE) }),
    fc.record({ kind: fc.constant("move" as const), row: index, to: index }),
  ),
  { minLength: 1, maxLength: 4 },
);

/** A file's record over a directory's, which can be unlinked then while names lie in it; and a directory that only names in it know. */
const KNOWN: [Wrong[], boolean][] = [
  // A directory that says that it has no directories in it.
  [
    [
      { kind: "swap", row: 13, other: 51 },
      { kind: "swap", row: 45, other: 11 },
      { kind: "drop", row: 0 },
    ],
    true,
  ],
  // Directories that lie in one another.
  [
    [
      { kind: "move", row: 51, to: 10 },
      { kind: "drop", row: 48 },
      { kind: "drop", row: 30 },
      { kind: "cut", row: 22, at: 55 },
    ],
    true,
  ],
  [
    [
      { kind: "swap", row: 3, other: 34 },
      { kind: "flip", row: 13, at: 6, bit: 0 },
      { kind: "size", name: 0, size: 1 },
    ],
    false,
  ],
  [
    [
      { kind: "swap", row: 3, other: 53 },
      { kind: "size", name: 0, size: 1 },
    ],
    false,
  ],
];

test(
  "invalid rows are answered with errors, and nothing else breaks",
  async () => {
    await fc.assert(
      fc.asyncProperty(wrongs, fc.boolean(), async (all, isDirty) => {
        const { remote, agent } = await filled();
        if (isDirty) await use(agent.mount, 2);
        const attacker = await Attacker.start(remote, 7);
        const rows = await attacker.rows();
        await attacker.publish(all.flatMap((wrong) => editsOf(wrong, rows)));

        await agent.catchUp();
        await use(agent.mount, 1);
        await settle(agent);
        const other = await SimulatedAgent.start(remote, "b", 12, systemClock);
        await use(other.mount, 1);
        await settle(other);
        // Whatever is wrong is said; reading never ends in another error than the agent's own.
        const { damage } = await verifyBucket(await openBucket(remote), { blocks: remote.blocks });
        const troubles = [agent, other].map(({ trouble }) => trouble?.code);
        expect(troubles).not.toContain("internal");
        expect(damage.length === 0 && troubles.includes("format_invalid")).toBe(false);
      }),
      { numRuns: all ? 2_000 : 40, examples: KNOWN },
    );
  },
  all ? 3_600_000 : 120_000,
);

/** Directories in directories, files of all kinds of content, a hard link, a moved file, a symlink that leads to itself. */
async function filled(): Promise<{ remote: MemoryRemote; agent: SimulatedAgent }> {
  const remote = new MemoryRemote();
  await createBucket(remote);
  const agent = await SimulatedAgent.start(remote, "a", 11, systemClock);
  const { mount } = agent;
  for (const path of ["d", "d/e", "d/e/f", "g"]) await mount.makeDirectory(path);
  await mount.create("d/small", Buffer.from("small"));
  await mount.create("d/e/large", noise(200_000, 1));
  await mount.create("d/e/f/medium", noise(9_000, 2));
  await mount.create("g/linked", Buffer.from("linked"));
  await mount.create("g/moved", Buffer.from("moved"));
  await mount.makeSymlink("d/loop", "loop");
  await mount.makeSymlink("d/long", "x".repeat(3_000));
  await mount.setXattr("d/small", "user.x", noise(3_000, 3));
  await agent.flush();
  await mount.link("g/linked", "d/also");
  await mount.rename("g/moved", "d/e/moved");
  await agent.flush();
  return { remote, agent };
}

function editsOf(wrong: Wrong, rows: readonly Entry[]): Edit[] {
  const row = (at: number) => rows[at % rows.length] as Entry;
  const idOf = (at: number): FileId => parseKey(row(at).key).id;
  switch (wrong.kind) {
    case "drop":
      return [{ key: row(wrong.row).key, value: undefined, links: [] }];
    case "swap":
      return [{ ...row(wrong.other), key: row(wrong.row).key }];
    case "flip": {
      const value = row(wrong.row).value.slice();
      const at = wrong.at % Math.max(value.length, 1);
      value[at] = (value[at] ?? 0) ^ (1 << wrong.bit);
      return [{ ...row(wrong.row), value }];
    }
    case "cut":
      return [{ ...row(wrong.row), value: row(wrong.row).value.slice(0, wrong.at) }];
    case "name":
      return [{ ...row(wrong.row), key: rawDentryKey(idOf(wrong.to), BAD_NAMES[wrong.name] ?? "") }];
    case "size": {
      const record = recordOf("file", { size: wrong.size, content: { kind: "inline", bytes: Buffer.from("x") } });
      const key = rawDentryKey(ROOT_ID, `size${wrong.name}`);
      return [{ key, ...encodeDentry({ kind: "record", stated: undefined, record }, noLink) }];
    }
    case "move": {
      // A directory under one of another's names: second names, and cycles when it lies in itself.
      const key = rawDentryKey(idOf(wrong.to), "again");
      const id = idOf(wrong.row) === ROOT_ID ? birthId(ROOT_ID, name("d"), "directory", 0) : idOf(wrong.row);
      return [{ key, ...encodeDentry({ kind: "reference", type: "directory", id }, noLink) }];
    }
  }
}

const noLink = () => {
  throw new Error("no long values here");
};

/** Looks at everything down to a depth, and changes something everywhere. Only the agent's own errors may come of it. */
async function use(mount: KernelMount, round: number): Promise<void> {
  mount.countsAreRight = false;
  const seen = new Set<string>();
  const visit = async (path: string, depth: number): Promise<void> => {
    if (depth > 5 || seen.has(path)) return;
    seen.add(path);
    const names = await tried(() => mount.list(path));
    await tried(() => mount.create(`${path}/new${round}`, Buffer.from("new")));
    await tried(() => mount.makeDirectory(`${path}/made${round}`));
    for (const entry of new Set([...(names ?? []), "d", "g", "size0", "size1", "again"])) {
      const inside = path === "" ? entry : `${path}/${entry}`;
      const shown = await tried(() => mount.stat(inside));
      if (shown === undefined) continue;
      if (isDirectory(shown)) {
        await visit(inside, depth + 1);
        await tried(() => mount.rename(inside, `${inside}-moved${round}`));
      } else {
        await tried(() => mount.readSome(inside));
        await tried(() => mount.edit(inside, () => ({ offset: 3, bytes: Buffer.from("edited") })));
        await tried(() => mount.rename(inside, `${path}/renamed${round}`));
      }
      await tried(() => mount.unlink(`${path}/renamed${round}`));
    }
  };
  await visit("", 0);
}

async function tried<Result>(work: () => Promise<Result>): Promise<Result | undefined> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof FsError) return undefined;
    if (error instanceof SynclineError && error.code !== "internal") return undefined;
    throw error;
  }
}

async function settle(agent: SimulatedAgent): Promise<void> {
  for (let round = 0; round < 4; round++) await agent.flush();
}
