/** Searching for and putting back a root that S3 has lost, in both forms that roots have there. */
import { describe, expect, test } from "vitest";
import { systemClock } from "../../../../src/base/clock.ts";
import type { Cid } from "../../../../src/base/ids.ts";
import { Bucket } from "../../../../src/bucket/bucket.ts";
import { PackedRemote } from "../../../../src/bucket/packed/packed-remote.ts";
import { putRootBack } from "../../../../src/bucket/packed/root-return.ts";
import { searchRoot } from "../../../../src/bucket/packed/root-search.ts";
import { encodeRoot } from "../../../../src/format/blocks/root-object.ts";
import { numberedRootName } from "../../../../src/format/blocks/root-hint.ts";
import { S3BucketStore } from "../../../../src/objects/s3/s3-bucket-store.ts";
import type { RootForm } from "../../../../src/objects/s3/probe.ts";
import { S3Script } from "../../../support/s3-script.ts";
import { createBucket, newWriter, seededStream } from "../../../support/test-bucket.ts";
import { dropKept } from "../../../support/thinning.ts";

const NEWEST = 11;
const ports = { clock: systemClock, random: seededStream(1) };

class World implements AsyncDisposable {
  readonly server: S3Script;
  readonly form: RootForm;
  newest: Cid | undefined;

  private constructor(server: S3Script, form: RootForm) {
    this.server = server;
    this.form = form;
  }

  static async made(form: RootForm): Promise<World> {
    const world = new World(await S3Script.start(), form);
    await createBucket(world.remote());
    for (let seq = 2; seq <= NEWEST; seq++) await world.publish();
    return world;
  }

  store(): S3BucketStore {
    const { form } = this;
    const store = this.server.store();
    return new S3BucketStore({ store, clock: systemClock, chooseForm: async () => form, checkForm: async () => {} });
  }

  remote(): PackedRemote {
    return new PackedRemote(this.store(), ports);
  }

  async publish(): Promise<void> {
    const remote = this.remote();
    const bucket = await Bucket.open(remote, { blocks: remote.blocks });
    await dropKept(await newWriter(bucket, 2), []);
    this.newest = (await remote.readRoot())?.commit;
  }

  async root(): Promise<Cid | undefined> {
    return (await this.remote().readRoot())?.commit;
  }

  drop(...names: readonly string[]): void {
    for (const name of names) if (!this.server.objects.delete(`p/${name}`)) throw new Error(`there is no ${name}`);
  }

  names(): string[] {
    return [...this.server.objects.keys()].map((key) => key.slice("p/".length));
  }

  async repair(): Promise<void> {
    const store = this.store();
    const search = await searchRoot(store, ports);
    if (search?.newest === undefined) throw new Error("nothing was found");
    await putRootBack(store, search, search.newest.commit);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server[Symbol.asyncDispose]();
  }
}

const NUMBERED = Array.from({ length: NEWEST }, (_, at) => numberedRootName(at + 1));

const HARMS: readonly (readonly [string, RootForm, (world: World) => void])[] = [
  ["its root", "replaced", (world) => world.drop("root")],
  ["the bytes of its root", "replaced", (world) => world.server.put("root", "")],
  ["its numbered roots", "numbered", (world) => world.drop(...NUMBERED)],
  ["the bytes of its newest numbered root", "numbered", (world) => world.server.put(numberedRootName(NEWEST), "?")],
  ["the bytes of its hint", "numbered", (world) => world.server.put("root", "nonsense")],
  [
    "the bytes of its hint and of its newest root",
    "numbered",
    (world) => {
      world.server.put("root", "nonsense");
      world.server.put(numberedRootName(NEWEST), "");
    },
  ],
];

describe.each(HARMS)("a bucket that has lost %s (%s)", (_, form, harm) => {
  test("gets its newest root back, and goes on", async () => {
    await using world = await World.made(form);
    const { newest } = world;
    harm(world);
    await world.repair();
    expect(await world.root()).toBe(newest);
    await world.publish();
    expect(await world.root()).not.toBe(newest);
    expect(await searchRoot(world.store(), ports)).toBeUndefined();
    expect(world.names().some((name) => name.startsWith("roots/"))).toBe(form === "numbered");
  });

  test("keeps a root that comes back meanwhile", async () => {
    await using world = await World.made(form);
    const kept = new Map(world.server.objects);
    harm(world);
    const store = world.store();
    const search = await searchRoot(store, ports);
    if (search?.newest === undefined) throw new Error("nothing was found");
    for (const [key, object] of kept) world.server.objects.set(key, object);
    const { newest } = world;
    await world.publish();
    const next = world.newest;
    const putting = putRootBack(store, search, search.newest.commit);
    await expect(putting).rejects.toMatchObject({ code: "root_moved" });
    expect(next).not.toBe(newest);
    expect(await world.root()).toBe(next);
  });
});

test("a root that names no commit is replaced by what it almost names", async () => {
  await using world = await World.made("numbered");
  const commit = world.newest as Cid;
  const other = (commit.slice(0, 30) + (commit[30] === "a" ? "b" : "a") + commit.slice(31)) as Cid;
  world.server.put(numberedRootName(NEWEST), Buffer.from(encodeRoot({ commit: other, version: NEWEST })).toString());
  await world.repair();
  expect(await world.root()).toBe(commit);
});
