/** The newest root that was seen at an address, and what is refused because of it. */
import { chmodSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { rootFile } from "../../../src/agent/state/root-file.ts";
import { addressFolder } from "../../../src/agent/state/state-dir.ts";
import type { Cid, Lamport } from "../../../src/base/ids.ts";
import { Bucket } from "../../../src/bucket/bucket.ts";
import { publishEpoch } from "../../../src/bucket/publish.ts";
import { RootWitness, type SeenRoot } from "../../../src/bucket/root-witness.ts";
import { cidOf } from "../../../src/format/blocks/cid.ts";
import { epochOf } from "../../support/epochs.ts";
import { MemoryRemote } from "../../support/memory-remote.ts";
import { createBucket, newWriter } from "../../support/test-bucket.ts";
import { temporaryFolder } from "../../support/temporary-folder.ts";

const ADDRESS = "file:///srv/bucket";

describe("the witness of an address", () => {
  test("is shared by all who use the state folder, but not with other addresses", async () => {
    const states = await temporaryFolder();
    rootFile(states, ADDRESS).note(seen(3));
    expect(rootFile(states, `${ADDRESS}#bafy`).read()).toEqual(seen(3));
    expect(rootFile(states, "file:///srv/other").read()).toBeUndefined();
  });

  test("keeps the newest root, in whatever order roots arrive", async () => {
    const memory = rootFile(await temporaryFolder(), ADDRESS);
    for (const seq of [2, 5, 3, 4, 5, 1]) memory.note(seen(seq));
    expect(memory.read()).toEqual(seen(5));
  });

  test("keeps one file, even when several instances note roots at once", async () => {
    const states = await temporaryFolder();
    const memories = Array.from({ length: 8 }, () => rootFile(states, ADDRESS));
    for (let seq = 1; seq <= 40; seq++) memories[(seq * 5) % 8]?.note(seen(seq));
    expect(readdirSync(folderIn(states))).toHaveLength(1);
    expect(memories[0]?.read()).toEqual(seen(40));
  });

  test("has the newer root after a crash between adding it and removing the older one", async () => {
    const states = await temporaryFolder();
    const memory = rootFile(states, ADDRESS);
    memory.note(seen(1));
    const { genesis, root } = seen(2);
    writeFileSync(join(folderIn(states), `2.${root}.${genesis}`), "");
    expect(rootFile(states, ADDRESS).read()).toEqual(seen(2));
    rootFile(states, ADDRESS).note(seen(3));
    expect(readdirSync(folderIn(states))).toHaveLength(1);
  });

  test("is replaced by an older root, or another bucket's, when a user accepts it", async () => {
    const memory = rootFile(await temporaryFolder(), ADDRESS);
    memory.note(seen(9));
    memory.replace(seen(2, "other"));
    expect(memory.read()).toEqual(seen(2, "other"));
  });

  test("stays empty, without an error, if nothing can be written", async () => {
    const states = await temporaryFolder();
    writeFileSync(join(states, "file"), "");
    const memory = rootFile(join(states, "file"), ADDRESS);
    memory.note(seen(1));
    expect(memory.read()).toBeUndefined();
    mkdirSync(folderIn(states), { recursive: true });
    writeFileSync(join(folderIn(states), "something else"), "");
    chmodSync(folderIn(states), 0o500);
    expect(rootFile(states, ADDRESS).read()).toBeUndefined();
  });
});

describe("a bucket", () => {
  test("whose root was rolled back is refused, and accepted again once the newer root is back", async () => {
    const { remote, open, publish } = await world();
    const old = await rootOf(remote);
    await publish();
    await (await open()).head();
    const newer = await rootOf(remote);
    remote.forceRoot(old);
    await expect((await open()).head()).rejects.toMatchObject({ code: "root_rolled_back" });
    remote.forceRoot(newer);
    await (await open()).head();
  });

  test("whose history forked is refused, even if the fork is longer", async () => {
    const { remote, open, publish } = await world();
    const old = await rootOf(remote);
    await publish();
    await (await open()).head();
    remote.forceRoot(old);
    for (let more = 0; more < 3; more++) await publish();
    await expect((await open()).head()).rejects.toMatchObject({ code: "root_rolled_back" });
  });

  test("is remembered at the root published here, without being read again", async () => {
    const { remote, open, publish, memory } = await world();
    const old = await rootOf(remote);
    const root = await publish(await open());
    expect(memory.read()?.root).toBe(root);
    remote.forceRoot(old);
    await expect((await open()).head()).rejects.toMatchObject({ code: "root_rolled_back" });
  });

  test("that was accepted with an older root is checked against that root from then on", async () => {
    const { remote, open, publish } = await world();
    const old = await rootOf(remote);
    await publish();
    await (await open()).head();
    const newer = await rootOf(remote);
    remote.forceRoot(old);
    await (await open(true)).head();
    await (await open()).head();
    await publish();
    await (await open()).head();
    remote.forceRoot(newer);
    await expect((await open()).head()).rejects.toMatchObject({ code: "root_rolled_back" });
  });

  test("is not refused when others note a newer root while an older one is being read here", async () => {
    const { remote, open, publish } = await world();
    const bucket = await open();
    await bucket.head();
    const reading = remote.readRoot.bind(remote);
    remote.readRoot = async () => {
      remote.readRoot = reading;
      const before = await reading();
      await publish();
      await (await open()).head();
      return before;
    };
    const older = await bucket.head();
    const newer = await bucket.head();
    expect([older.commit.body.seq, newer.commit.body.seq]).toEqual([1, 2]);
  });
});

async function rootOf(remote: MemoryRemote): Promise<Cid> {
  const root = await remote.readRoot();
  if (root === undefined) throw new Error("the bucket has no root");
  return root.commit;
}

function folderIn(states: string): string {
  return join(addressFolder(states, ADDRESS), "known");
}

function seen(seq: number, bucket = "bucket"): SeenRoot {
  const address = (text: string): Cid => cidOf("dag-cbor", Buffer.from(text));
  return { genesis: address(bucket), root: address(`${bucket} ${seq}`), seq: seq as Lamport };
}

/** A bucket, and how those who share a state folder open it. */
async function world() {
  const remote = new MemoryRemote();
  const writer = await newWriter(await createBucket(remote), 2);
  const memory = rootFile(await temporaryFolder(), remote.address);
  const open = async (accept = false): Promise<Bucket> =>
    Bucket.open(remote, { blocks: remote.blocks, witness: new RootWitness(memory, { accept }) });
  let epoch = 0;
  const publish = async (bucket = writer.bucket) => {
    const { cid: commit, body } = (await bucket.head()).commit;
    const edits = [{ ino: ++epoch + 1, names: [[1, `f${epoch}`] as [number, string]], bytes: Buffer.from(`${epoch}`) }];
    const { changes, data } = epochOf({ commit, seq: body.seq }, epoch, edits);
    const outcome = await publishEpoch({ ...writer, bucket }, changes, data);
    if (outcome.kind !== "published") throw new Error(outcome.kind);
    return outcome.root.commit;
  };
  return { remote, open, publish, memory };
}
