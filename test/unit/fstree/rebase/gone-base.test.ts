/**
 * An epoch whose base a collection took, with contents that nobody has any more: it is published all the same, no saved byte is lost, and
 * nothing refers to what is gone.
 */
import { describe, expect, test } from "vitest";
import { nameToText } from "../../../../src/base/names.ts";
import type { Cid, Ino } from "../../../../src/base/ids.ts";
import type { Bucket } from "../../../../src/bucket/bucket.ts";
import type { ContentChange } from "../../../../src/fstree/change-set.ts";
import { linkedValues, xattrsOf } from "../../../../src/format/blocks/linked-value.ts";
import { NO_XATTRS, type Xattrs } from "../../../../src/format/files/record.ts";
import { resolvePath } from "../../../../src/fstree/fs-reader.ts";
import type { TreeObject } from "../../../../src/fstree/fs-reader.ts";
import { publishEpoch } from "../../../../src/bucket/publish.ts";
import { verifyBucket } from "../../../../src/bucket/verify.ts";
import { dropUnreached } from "../../../support/drop-unreached.ts";
import { noise } from "../../../support/bytes.ts";
import { epochOf, name } from "../../../support/epochs.ts";
import type { ObjectEdit } from "../../../support/epochs.ts";
import { MemoryRemote } from "../../../support/memory-remote.ts";
import { dropKept } from "../../../support/thinning.ts";
import { createBucket, newWriter, nodesOf, openBucket, pathsOf } from "../../../support/test-bucket.ts";

/** Too long to stand in a row. */
const filled = (text: string) => Buffer.from(`${text}\n`.repeat(200));
const OLD = filled("old");
const THEIRS = filled("theirs");
const OURS = filled("ours");

type Edit = (file: TreeObject) => Omit<ObjectEdit, "ino" | "base">;

interface Story {
  readonly file?: string;
  readonly old?: Uint8Array;
  /** How the file was made, if not by writing `old`. */
  readonly made?: Omit<ObjectEdit, "ino" | "names">;
  readonly theirs: Edit;
  readonly ours: Edit;
  /** The agent stood on a newer root by then, which is retained. */
  readonly adopted?: boolean;
  /** A cache has the list of the old version's chunks. */
  readonly keepsList?: boolean;
  /** All roots are retained, and a block of the old version is lost. */
  readonly damaged?: boolean;
  /** Our bytes are in a new file: renamed over the old one, or made after its removal. */
  readonly anew?: "renamed over it" | "made again";
  /** Nothing is collected, and no byte of the old version may be read. */
  readonly unread?: boolean;
  /** How our content comes about, if not all of it was written. */
  readonly content?: (file: TreeObject) => ContentChange;
}

/** What the bucket shows once the agent came back. */
async function cameBack(story: Story): Promise<Record<string, string>> {
  const bucket = await bucketAfter(story);
  const { beside: saved, ...shown } = await pathsOf(bucket, await treeOf(bucket));
  expect(saved).toBe("saved");
  return shown;
}

/** The bucket once an agent came back that did `ours` to a file, while others did `theirs` and a collection took the old version. */
async function bucketAfter({
  file = "f",
  old = OLD,
  made = { bytes: old },
  theirs,
  ours,
  anew,
  unread,
  content,
  keepsList,
  adopted,
  damaged,
}: Story): Promise<Bucket> {
  const remote = new MemoryRemote();
  const writing = await createBucket(remote);
  const [me, other] = [await newWriter(writing, 2), await newWriter(writing, 3)];
  const publish = async (epoch: number, edits: readonly ObjectEdit[]) => {
    const { commit } = await writing.head();
    const { changes, data } = epochOf({ commit: commit.cid, seq: commit.body.seq }, epoch, edits);
    expect((await publishEpoch(other, changes, data)).kind).toBe("published");
  };
  await publish(1, [{ ino: 2, names: [[1, file]], ...made }]);
  const base = await writing.head();
  const found = await at(writing, file);
  await publish(2, [{ ino: 2, base: found, ...theirs(found) }]);
  const newer = await writing.head();
  const { content: was } = found.record;
  const [value] = linkedValues(found.record);
  if (damaged === true) remote.blocks.held.delete(value ?? (was.kind === "chunk" ? was.cid : base.commit.cid));
  else if (unread !== true) {
    await dropKept(other, [base.commit.body.seq]);
    await dropUnreached(remote, keepsList === true && was.kind === "list" ? was.cid : undefined);
  }

  const bucket = await openBucket(remote);
  remote.blocks.reads.length = 0;
  const { cid: commit, body } = adopted === true ? newer.commit : base.commit;
  const on = { commit, seq: body.seq };
  const edit: ObjectEdit = { ino: 2, ...ours(found) };
  const beside: ObjectEdit = { ino: 3, names: [[1, "beside"]], bytes: Buffer.from("saved") };
  const edits =
    anew === undefined ? [{ ...edit, base: found }, beside] : [edit, beside, { ino: 4, base: found, names: [] }];
  const { changes, data } = epochOf(on, 1, edits);
  const [object, ...others] = changes.objects;
  if (object === undefined) throw new Error("an epoch has an object");
  const sealed = {
    ...object,
    ...(content !== undefined && { content: content(found) }),
    ...(anew === "renamed over it" && { replaces: 4 as Ino }),
  };
  const outcome = await publishEpoch({ ...me, bucket }, { ...changes, objects: [sealed, ...others] }, data);
  expect(outcome.kind).toBe("published");
  const isRead = "cid" in was && remote.blocks.reads.includes(was.cid);
  expect(unread === true && isRead).toBe(false);
  expect((await verifyBucket(await openBucket(remote), { blocks: remote.blocks })).damage).toEqual([]);
  return bucket;
}

async function at(bucket: Bucket, file: string): Promise<TreeObject> {
  const object = await resolvePath(nodesOf(bucket), (await bucket.head()).commit.body.tree, [name(file)]);
  if (object === undefined) throw new Error(`nothing at ${file}`);
  return object;
}

async function treeOf(bucket: Bucket): Promise<Cid> {
  return (await bucket.head()).commit.body.tree;
}

async function attributesAt(bucket: Bucket, file: string): Promise<string[]> {
  const { record } = await at(bucket, file);
  const blocks = await bucket.blocks.getMany(linkedValues(record));
  return [...xattrsOf(record, (cid) => blocks.get(cid) ?? new Uint8Array()).keys()].sort();
}

const same: Edit = ({ names }) => ({ names: placed(names) });
const named =
  (text: string): Edit =>
  () => ({ names: [[1, text]] });
const removed: Edit = () => ({ names: [] });
const rewritten =
  (bytes: Uint8Array): Edit =>
  ({ names }) => ({ names: placed(names), bytes });

const SMALL = Buffer.from("small");
/** Too long to stand in a row. */
const long = (key: string): Xattrs => new Map([[`user.${key}`, noise(1_000, key.length)]]);
const attributed =
  (xattrs: Xattrs): Edit =>
  (file) => ({ ...same(file), fields: { xattrs } });

function placed(names: TreeObject["names"]): [number, string][] {
  return names.map((place) => [1, nameToText(place.name)]);
}

test("a lost block that a retained root needs is damage: publishing a file that needs it fails", async () => {
  const chmodded: Edit = (file) => ({ ...same(file), fields: { mode: 0o600 } });
  const appended: Partial<Story> = {
    content: ({ record }) => ({
      kind: "edited",
      base: record.content,
      baseSize: record.size,
      segments: [
        { offset: 0, length: OLD.length, from: "base", epoch: 0 },
        { offset: OLD.length, length: 4, from: "data", epoch: 1 },
      ],
    }),
  };
  for (const theirs of [rewritten(THEIRS), removed]) {
    const damaged = { theirs, adopted: true, damaged: true };
    const stories: Story[] = [
      { ...damaged, ours: named("g") },
      { ...damaged, ours: chmodded },
      { ...damaged, ours: rewritten(Buffer.alloc(OLD.length + 4)), ...appended },
    ];
    for (const each of stories) await expect(cameBack(each)).rejects.toMatchObject({ code: "block_not_found" });
  }
  const made = { bytes: SMALL, fields: { xattrs: long("old") } };
  const renamed = { made, theirs: removed, ours: named("g"), adopted: true, damaged: true };
  await expect(cameBack(renamed)).rejects.toMatchObject({ code: "block_not_found" });
});

test.each(["renamed over it", "made again"] as const)(
  "the old version of a file that is not text is not read if it was %s, and others replaced it",
  async (anew) => {
    const story = { file: "f.bin", theirs: rewritten(THEIRS), ours: rewritten(OURS), adopted: true, unread: true };
    expect(Object.values(await cameBack({ ...story, anew })).sort()).toEqual(
      [OURS.toString(), THEIRS.toString()].sort(),
    );
  },
);

describe.each([
  ["on the root that is gone", false],
  ["on a newer, retained root", true],
])("%s:", (_, adopted) => {
  const story = (told: Story) => cameBack({ ...told, adopted });
  describe("a file that was rewritten", () => {
    test("conflicts with others' version as usual", async () => {
      const shown = await story({ theirs: rewritten(THEIRS), ours: rewritten(OURS) });
      expect(shown["f"]).toBe(THEIRS.toString());
      expect(Object.values(shown).sort()).toEqual([OURS.toString(), THEIRS.toString()]);
    });

    test("survives removal by others", async () => {
      expect(await story({ theirs: removed, ours: rewritten(OURS) })).toEqual({ f: OURS.toString() });
    });

    test.each(["f.txt", "f.log", "f.json"])(
      "%s is not merged, because each side's changes are unknown",
      async (file) => {
        const theirs = Buffer.concat([THEIRS, OLD]);
        const ours = Buffer.concat([OLD, OURS]);
        const shown = await story({ file, theirs: rewritten(theirs), ours: rewritten(ours) });
        expect(shown[file]).toBe(theirs.toString());
        expect(Object.values(shown).sort()).toEqual([ours.toString(), theirs.toString()].sort());
      },
    );

    test.each(["f.txt", "f.log"])("%s is kept beside others' version if it was emptied first", async (file) => {
      const content = (): ContentChange => ({
        kind: "edited",
        base: { kind: "empty" },
        baseSize: 0,
        segments: [{ offset: 0, length: OURS.length, from: "data", epoch: 1 }],
      });
      const shown = await story({ file, theirs: rewritten(THEIRS), ours: rewritten(OURS), content });
      expect(shown[file]).toBe(THEIRS.toString());
      expect(Object.values(shown).sort()).toEqual([OURS.toString(), THEIRS.toString()].sort());
    });

    test.each([
      ["f.txt", "renamed over it"],
      ["f.txt", "made again"],
      ["f.log", "renamed over it"],
      ["f.log", "made again"],
      ["f.bin", "made again"],
    ] as const)("%s that was %s is kept beside others' version", async (file, anew) => {
      const shown = await story({ file, anew, theirs: rewritten(THEIRS), ours: rewritten(OURS) });
      expect(shown[file]).toBe(THEIRS.toString());
      expect(Object.values(shown).sort()).toEqual([OURS.toString(), THEIRS.toString()].sort());
    });

    test("keeps both sides' long attributes if it was made again", async () => {
      const made = { bytes: SMALL, fields: { xattrs: long("old") } };
      const ours: Edit = (file) => ({ ...same(file), bytes: SMALL, fields: { xattrs: long("ours") } });
      const bucket = await bucketAfter({ made, theirs: attributed(long("theirs")), ours, anew: "made again", adopted });
      expect(await attributesAt(bucket, "f")).toEqual(["user.ours", "user.theirs"]);
    });

    test("is merged as usual if others only appended to it: their version begins with the base's", async () => {
      const [theirs, ours] = [Buffer.concat([OLD, THEIRS]), Buffer.concat([OLD, OURS])];
      const shown = await story({ file: "f.log", theirs: rewritten(theirs), ours: rewritten(ours) });
      expect(shown).toEqual({ "f.log": Buffer.concat([theirs, OURS]).toString() });
    });
  });

  describe("a file whose bytes were not changed here", () => {
    test("gets its new name and others' bytes", async () => {
      expect(await story({ theirs: rewritten(THEIRS), ours: named("g") })).toEqual({ g: THEIRS.toString() });
    });

    test("is gone if others removed it", async () => {
      expect(await story({ theirs: removed, ours: named("g") })).toEqual({});
    });

    test("keeps others' bytes, or stays removed, if only its mode changed here", async () => {
      const ours: Edit = (file) => ({ ...same(file), fields: { mode: 0o600 } });
      expect(await story({ theirs: rewritten(THEIRS), ours })).toEqual({ f: THEIRS.toString() });
      expect(await story({ theirs: removed, ours })).toEqual({});
    });
  });

  test("privileges that a file got here are dropped from others' bytes", async () => {
    const xattrs: Xattrs = new Map([["security.capability", Buffer.from("net")]]);
    const ours: Edit = (file) => ({ ...same(file), fields: { mode: 0o4755, xattrs } });
    const bucket = await bucketAfter({ theirs: rewritten(THEIRS), ours, adopted });
    expect((await at(bucket, "f")).record.mode).toBe(0o755);
    expect(await attributesAt(bucket, "f")).toEqual([]);
  });

  describe("a partially written file", () => {
    const large = noise(300_000, 1);
    const tail = Buffer.from("appended while away\n");
    const appended = (old: Uint8Array): Partial<Story> => ({
      old,
      ours: (file) => ({ ...same(file), bytes: Buffer.concat([new Uint8Array(old.length), tail]) }),
      content: ({ record }) => ({
        kind: "edited",
        base: record.content,
        baseSize: record.size,
        segments: [
          { offset: 0, length: old.length, from: "base", epoch: 0 },
          { offset: old.length, length: tail.length, from: "data", epoch: 1 },
        ],
      }),
    });

    test.each([
      ["others rewrote it", rewritten(THEIRS), { f: THEIRS.toString() }],
      ["others removed it", removed, {}],
    ])("when %s, its written bytes go to a conflict copy, with zeros for the lost bytes", async (_, theirs, kept) => {
      for (const old of [OLD, large]) {
        const whole = { theirs, ours: same, ...appended(old) };
        const shown = await story(whole);
        expect(shown).toMatchObject(kept);
        const copies = Object.entries(shown).filter(([file]) => file !== "f");
        expect(copies).toEqual([
          [expect.stringMatching(/^f \(conflict [0-9a-f]{8}\)$/), "\0".repeat(old.length) + tail.toString()],
        ]);
      }
    });

    test("keeps all its bytes if others only appended to it", async () => {
      for (const old of [OLD, large]) {
        const theirs = Buffer.concat([old, THEIRS]);
        const shown = await story({ theirs: rewritten(theirs), ours: same, ...appended(old) });
        expect(shown["f"]).toBe(theirs.toString());
        expect(Object.values(shown).sort()).toEqual([Buffer.concat([old, tail]).toString(), theirs.toString()].sort());
      }
    });

    test("keeps the bytes that others' version or a cache still has", async () => {
      const longer = Buffer.from(noise(1_000_000, 2));
      const theirs = Buffer.concat([longer.subarray(0, 900_000), THEIRS]);
      const shown = await story({ theirs: rewritten(theirs), ours: same, ...appended(longer), keepsList: true });
      expect(shown["f"]).toBe(theirs.toString());
      const copy = Object.entries(shown).find(([file]) => file !== "f")?.[1] ?? "";
      const left = longer.toString().slice(0, 200_000);
      expect([copy.startsWith(left), copy.endsWith(`\0${tail.toString()}`)]).toEqual([true, true]);
    });
  });

  describe.each([
    ["short", SMALL],
    ["long", OLD],
  ])("a file with %s content and long extended attributes", (_, bytes) => {
    const made = { bytes, fields: { xattrs: long("old") } };

    test("survives removal by others if it was rewritten, without the lost attributes", async () => {
      const bucket = await bucketAfter({ made, adopted, theirs: removed, ours: rewritten(OURS) });
      expect((await pathsOf(bucket, await treeOf(bucket)))["f"]).toBe(OURS.toString());
      expect(await attributesAt(bucket, "f")).toEqual([]);
    });

    test("has others' attributes if only its name or bytes changed here", async () => {
      const theirs = attributed(long("theirs"));
      const renamed = await bucketAfter({ made, adopted, theirs, ours: named("g") });
      expect(await attributesAt(renamed, "g")).toEqual(["user.theirs"]);
      const changed = await bucketAfter({ made, adopted, theirs, ours: rewritten(OURS) });
      expect(await attributesAt(changed, "f")).toEqual(["user.theirs"]);
    });

    test("has both sides' attributes if both changed them", async () => {
      const story = { made, adopted, theirs: attributed(long("theirs")) };
      for (const xattrs of [long("ours"), new Map([["user.ours", SMALL]])]) {
        const bucket = await bucketAfter({ ...story, ours: attributed(xattrs) });
        expect(await attributesAt(bucket, "f")).toEqual(["user.ours", "user.theirs"]);
      }
    });
  });

  test("a renamed file with short content and long extended attributes survives removal by others without them", async () => {
    const made = { bytes: SMALL, fields: { xattrs: long("old") } };
    const bucket = await bucketAfter({ made, adopted, theirs: removed, ours: named("g") });
    expect((await pathsOf(bucket, await treeOf(bucket)))["g"]).toBe("small");
    expect(await attributesAt(bucket, "g")).toEqual([]);
  });

  describe("a renamed symlink", () => {
    const link = (target: string, xattrs: Xattrs = NO_XATTRS): Pick<Story, "made"> => ({
      made: { type: "symlink", fields: { target, size: target.length, mode: 0o777, xattrs } },
    });

    test("with a long target is gone if others removed it", async () => {
      expect(await story({ ...link("t".repeat(2_000)), theirs: removed, ours: named("g") })).toEqual({});
    });

    test("with a short target survives removal by others, without its long extended attributes", async () => {
      const shown = await story({ ...link("target", long("old")), theirs: removed, ours: named("g") });
      expect(shown).toEqual({ g: "-> target" });
    });
  });
});
