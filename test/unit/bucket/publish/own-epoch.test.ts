/** What an agent makes of its own epoch after a crash or a sleep, by then with little left of the history. */
import { describe, expect, test } from "vitest";
import { SynclineError } from "../../../../src/base/errors.ts";
import type { FileId, Ino, Lamport } from "../../../../src/base/ids.ts";
import type { Bucket, CurrentRoot } from "../../../../src/bucket/bucket.ts";
import { publishEpoch, type PublishContext, type PublishOptions } from "../../../../src/bucket/publish.ts";
import type { PublishOutcome } from "../../../../src/bucket/publish/outcome.ts";
import type { SentCommit } from "../../../../src/fstree/change-set.ts";
import { resolvePath, type TreeObject } from "../../../../src/fstree/fs-reader.ts";
import { dropUnreached } from "../../../support/drop-unreached.ts";
import { epochOf, name, type ObjectEdit } from "../../../support/epochs.ts";
import { MemoryRemote } from "../../../support/memory-remote.ts";
import { createBucket, newWriter, nodesOf, openBucket, pathsOf } from "../../../support/test-bucket.ts";
import { dropKept } from "../../../support/thinning.ts";

const bytes = (text: string) => Buffer.from(text);
const born = (ino: number, file: string, text: string): ObjectEdit => ({ ino, names: [[1, file]], bytes: bytes(text) });

class World {
  readonly remote: MemoryRemote;
  readonly me: PublishContext;
  readonly #other: PublishContext;
  readonly #thinner: PublishContext;
  /** Commits that were noted before their swaps. */
  readonly noted: SentCommit[] = [];
  #epochs = 0;

  private constructor(remote: MemoryRemote, me: PublishContext, other: PublishContext, thinner: PublishContext) {
    this.remote = remote;
    this.me = me;
    this.#other = other;
    this.#thinner = thinner;
  }

  static async create(): Promise<World> {
    const remote = new MemoryRemote();
    const bucket = await createBucket(remote);
    const [me, other, thinner] = [await newWriter(bucket, 2), await newWriter(bucket, 3), await newWriter(bucket, 4)];
    return new World(remote, me, other, thinner);
  }

  async root(): Promise<CurrentRoot> {
    return (await openBucket(this.remote)).head();
  }

  /** This agent's epoch 1 on a root, as one of its processes publishes it. `sent`: what that process knows of earlier swaps. */
  async mine(
    on: CurrentRoot,
    edits: readonly ObjectEdit[],
    sent: readonly SentCommit[] = this.noted,
    directories: Record<number, FileId> = {},
  ): Promise<PublishOutcome> {
    const { changes, data } = epochOf({ commit: on.commit.cid, seq: on.commit.body.seq }, 1, edits, directories);
    const options: PublishOptions = { sending: async (sending) => void this.noted.push(sending) };
    const context = { ...this.me, bucket: await openBucket(this.remote) };
    return publishEpoch(context, { ...changes, sent }, data, options);
  }

  async theirs(edits: readonly ObjectEdit[]): Promise<void> {
    const on = await this.root();
    const { changes, data } = epochOf({ commit: on.commit.cid, seq: on.commit.body.seq }, ++this.#epochs, edits);
    const context = { ...this.#other, bucket: await openBucket(this.remote) };
    published(await publishEpoch(context, changes, data));
  }

  /** Thins these commits out of the history, and collects what only they had. */
  async forget(...seqs: readonly number[]): Promise<void> {
    await dropKept({ ...this.#thinner, bucket: await openBucket(this.remote) }, seqs as Lamport[]);
    await dropUnreached(this.remote);
  }

  async at(path: string): Promise<TreeObject> {
    const { commit } = await this.root();
    const object = await resolvePath(
      nodesOf(await openBucket(this.remote)),
      commit.body.tree,
      path.split("/").map(name),
    );
    if (object === undefined) throw new Error(`nothing at ${path}`);
    return object;
  }

  async files(): Promise<Record<string, string>> {
    return pathsOf(await openBucket(this.remote), (await this.root()).commit.body.tree);
  }
}

function published(outcome: PublishOutcome): Extract<PublishOutcome, { kind: "published" }> {
  if (outcome.kind !== "published") throw new Error(outcome.kind);
  return outcome;
}

describe("an epoch whose commit is no longer in the history", () => {
  /** The epoch creates two files, edits one and deletes one. Others then change all of that. */
  async function replaced(forgotten: readonly number[]) {
    const world = await World.create();
    await world.theirs([born(2, "edited", "before"), born(3, "gone", "before")]);
    const base = await world.root();
    const edits: ObjectEdit[] = [
      { ino: 2, base: await world.at("edited"), names: [[1, "edited"]], bytes: bytes("by me") },
      { ino: 3, base: await world.at("gone"), names: [] },
      born(4, "new", "by me"),
      born(5, "renamed", "by me"),
      born(6, "removed", "by me"),
    ];
    published(await world.mine(base, edits));
    const ids = { edited: (await world.at("edited")).id, new: (await world.at("new")).id };
    const renamed = (await world.at("renamed")).id;
    await world.theirs([
      { ino: 2, base: await world.at("edited"), names: [[1, "edited"]], bytes: bytes("by others") },
      { ino: 4, base: await world.at("new"), names: [[1, "new"]], bytes: bytes("by others") },
      { ino: 5, base: await world.at("renamed"), names: [[1, "elsewhere"]] },
      { ino: 6, base: await world.at("removed"), names: [] },
    ]);
    await world.forget(...forgotten);
    return { world, base, edits, ids: { ...ids, renamed } };
  }

  const NOW = { edited: "by others", new: "by others", elsewhere: "by me" };

  test.each([
    ["the commit is gone", [3]],
    ["its parent is gone", [2]],
    ["both are gone", [2, 3]],
  ])("counts as published if its swap was noted, and nothing of it comes back: %s", async (_, forgotten) => {
    const { world, base, edits, ids } = await replaced(forgotten);
    const swaps = world.remote.swaps;
    const outcome = published(await world.mine(base, edits));
    expect(await world.files()).toEqual(NOW);
    expect(world.remote.swaps).toBe(swaps);
    // The overlay goes on from the newest root, with the ids that its objects have there.
    expect(outcome.epoch.base.commit).toBe((await world.root()).commit.cid);
    const idOf = (ino: number) => outcome.epoch.objects.get(ino as Ino)?.id;
    expect([idOf(2), idOf(4), idOf(5)]).toEqual([ids.edited, ids.new, ids.renamed]);
    expect(outcome.epoch.objects.get(2 as Ino)?.record.size).toBe("by me".length);
    expect(idOf(3)).toBeUndefined();
  });

  test.each([
    ["the commit is gone", [3]],
    ["both are gone", [2, 3]],
  ])("is another process's if no swap of it was noted here: %s", async (_, forgotten) => {
    const { world, base, edits } = await replaced(forgotten);
    expect(await world.mine(base, edits, [])).toMatchObject({ kind: "device_reused", epoch: 1 });
  });

  test("is another process's if the history tells that the noted swaps did not bring it", async () => {
    const { world, base, edits } = await replaced([3]);
    const [noted] = world.noted;
    if (noted === undefined) throw new Error("nothing was noted");
    // Not by then, only later, and another commit was in its place.
    for (const seq of [2, 4])
      expect(await world.mine(base, edits, [{ ...noted, seq: seq as Lamport }])).toMatchObject({
        kind: "device_reused",
      });
    const elsewhere = { commit: base.commit.cid, seq: noted.seq };
    expect(await world.mine(base, edits, [elsewhere])).toMatchObject({ kind: "device_reused" });
    expect((await world.mine(base, edits, [elsewhere, noted])).kind).toBe("published");
  });

  test("is another process's if the history still has that one's commit", async () => {
    const { world, base, edits } = await replaced([2]);
    const { cid: commit, body } = (await world.root()).commit;
    expect(await world.mine(base, edits, [{ commit, seq: body.seq }])).toMatchObject({
      kind: "device_reused",
      epoch: 1,
    });
  });

  test("counts as published under a later epoch of a copy of this state if the history has its commit", async () => {
    const world = await World.create();
    const base = await world.root();
    const edits = [born(2, "a", "1")];
    published(await world.mine(base, edits));
    const { changes, data } = epochOf({ commit: base.commit.cid, seq: base.commit.body.seq }, 2, [born(3, "b", "2")]);
    published(await publishEpoch(world.me, changes, data));
    expect((await world.mine(base, edits)).kind).toBe("published");
    expect(await world.mine(base, edits, [])).toMatchObject({ kind: "device_reused", epoch: 2 });
  });

  test("is recognized within the process, whose swap got no answer before it slept", async () => {
    const world = await World.create();
    await world.theirs([born(2, "a", "before")]);
    const base = await world.root();
    const edits: ObjectEdit[] = [
      { ino: 2, base: await world.at("a"), names: [[1, "a"]], bytes: bytes("by me") },
      born(3, "removed", "by me"),
    ];
    world.remote.faults.push("committed-unseen");
    const readRoot = world.remote.readRoot.bind(world.remote);
    world.remote.readRoot = async () => {
      if (world.remote.swaps !== 2) return readRoot();
      world.remote.readRoot = readRoot;
      await world.theirs([
        { ino: 2, base: await world.at("a"), names: [[1, "a"]], bytes: bytes("by others") },
        { ino: 3, base: await world.at("removed"), names: [] },
      ]);
      for (let more = 0; more < 6; more++) await world.theirs([born(9, `f${more}`, "by others")]);
      await world.forget(2, 3, 4, 5, 6, 7);
      return readRoot();
    };
    published(await world.mine(base, edits));
    expect(await world.files()).toMatchObject({ a: "by others" });
    expect(Object.keys(await world.files())).not.toContain("removed");
  });
});

describe("a swap", () => {
  test("is sent only once its note is durable", async () => {
    const { me, remote, bucket } = await plain();
    const { changes, data } = epochOf(await head(bucket), 1, [born(2, "a", "1")]);
    const noting = Promise.withResolvers<void>();
    const begun = Promise.withResolvers<void>();
    const sending = async () => {
      begun.resolve();
      await noting.promise;
    };
    const publishing = publishEpoch(me, changes, data, { sending });
    await begun.promise;
    for (let turn = 0; turn < 100; turn++) await Promise.resolve();
    expect([remote.prepares, remote.swaps]).toEqual([1, 0]);
    noting.resolve();
    published(await publishing);
  });

  test("is not sent if it cannot be noted", async () => {
    const { me, remote, bucket } = await plain();
    const { changes, data } = epochOf(await head(bucket), 1, [born(2, "a", "1")]);
    const cause = new SynclineError("store_failed", "The disk is broken.");
    const outcome = await publishEpoch(me, changes, data, { sending: () => Promise.reject(cause) });
    expect(outcome).toMatchObject({ kind: "unreachable", cause, figures: { attempts: 0 } });
    expect(remote.swaps).toBe(0);
  });

  async function plain() {
    const remote = new MemoryRemote();
    const bucket = await createBucket(remote);
    return { remote, bucket, me: await newWriter(bucket, 2) };
  }

  async function head(bucket: Bucket) {
    const { commit } = await bucket.head();
    return { commit: commit.cid, seq: commit.body.seq };
  }
});

describe("objects of an epoch that the history no longer has", () => {
  test("get the ids that a merge gave them then", async () => {
    const world = await World.create();
    const base = await world.root();
    // Others made a file of that name and moved it: ours is another one.
    await world.theirs([born(2, "f", "theirs")]);
    await world.theirs([{ ino: 2, base: await world.at("f"), names: [[1, "g"]] }]);
    published(await world.mine(base, [born(2, "f", "mine")]));
    const { id } = await world.at("f");
    await world.forget(1, 2, 3, 4);
    const outcome = published(await world.mine(base, [born(2, "f", "mine")]));
    expect(outcome.epoch.objects.get(2 as Ino)?.id).toBe(id);
    expect(await world.files()).toEqual({ f: "mine", g: "theirs" });
  });

  test("a directory that became another one is that one", async () => {
    const world = await World.create();
    await world.theirs([{ ino: 2, names: [[1, "d"]], type: "directory" }]);
    const base = await world.root();
    await world.theirs([{ ino: 2, base: await world.at("d"), names: [[1, "k"]] }]);
    const edits: ObjectEdit[] = [
      { ino: 3, names: [[1, "k"]], type: "directory" },
      { ...born(4, "f", "mine"), names: [[3, "f"]] },
    ];
    published(await world.mine(base, edits));
    const [k, f] = [await world.at("k"), await world.at("k/f")];
    await world.forget(4);
    const outcome = published(await world.mine(base, edits));
    expect(outcome.epoch.objects.get(3 as Ino)?.id).toBe(k.id);
    expect(outcome.epoch.objects.get(4 as Ino)).toMatchObject({ id: f.id, names: [{ parent: k.id, name: "f" }] });
  });

  test("keep what the epoch made of a file whose older bytes are gone", async () => {
    const world = await World.create();
    const noise = Buffer.from(Array.from({ length: 40_000 }, (_, at) => (at * 7919 + (at >> 5)) & 0xff));
    await world.theirs([{ ino: 2, names: [[1, "f"]], bytes: noise }]);
    const base = await world.root();
    const f = await world.at("f");
    const record = { ...f.record, mtimeNs: f.record.mtimeNs + 1n };
    const { changes, data } = epochOf({ commit: base.commit.cid, seq: base.commit.body.seq }, 1, []);
    const edited = {
      ino: 2 as Ino,
      id: f.id,
      base: f.record,
      baseNames: f.names,
      names: [{ parent: 1 as Ino, name: name("f") }],
      record,
      content: {
        kind: "edited" as const,
        base: f.record.content,
        baseSize: f.record.size,
        segments: [
          { offset: 0, length: 10, from: "data" as const, epoch: 1 },
          { offset: 10, length: f.record.size - 10, from: "base" as const, epoch: 0 },
        ],
      },
    };
    const reader = { ...data, readData: async () => bytes("0123456789") };
    const run = async () =>
      publishEpoch(
        { ...world.me, bucket: await openBucket(world.remote) },
        { ...changes, objects: [edited], sent: world.noted },
        reader,
        { sending: async (sending) => void world.noted.push(sending) },
      );
    published(await run());
    const now = await world.at("f");
    await world.theirs([born(3, "other", "o")]);
    await world.forget(2, 3);
    const outcome = published(await run());
    expect(outcome.epoch.objects.get(2 as Ino)).toEqual({ id: f.id, record: now.record, names: f.names });
  });
});
