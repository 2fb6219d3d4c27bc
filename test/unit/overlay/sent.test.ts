/** Notes of swaps of the epoch in flight: after a crash they tell an own commit from a commit of a copy of this state. */
import { describe, expect, test } from "vitest";
import { type Lamport, ROOT_INO } from "../../../src/base/ids.ts";
import { SENT_COMMITS } from "../../../src/base/limits.ts";
import { nameFromText } from "../../../src/base/names.ts";
import type { SentCommit } from "../../../src/fstree/change-set.ts";
import { cidOf } from "../../../src/format/blocks/cid.ts";
import { NOTHING_IN_USE } from "../../../src/overlay/in-use.ts";
import { decodeHead, encodeHead } from "../../../src/overlay/journal/checkpoint.ts";
import { seededStream } from "../../support/test-bucket.ts";
import { VfsHarness } from "../../support/vfs-harness.ts";

const commit = (number: number): SentCommit => {
  return { commit: cidOf("dag-cbor", Buffer.from([number])), seq: (10 + number) as Lamport };
};

async function sealed() {
  const fs = await VfsHarness.create();
  await fs.make("f", "x");
  const epoch = fs.vfs.seal()?.epoch ?? 0;
  await fs.vfs.sync();
  return { fs, epoch, sent: () => fs.vfs.seal()?.sent };
}

describe("the note of a swap", () => {
  test.each(["kill", "power loss"])("survives a %s, also behind a checkpoint", async (what) => {
    for (let seed = 0; seed < 12; seed++) {
      const { fs, epoch, sent } = await sealed();
      expect(sent()).toBeUndefined();
      await fs.vfs.sending(epoch, commit(1));
      if (seed % 2 === 1) await fs.vfs.checkpoint();
      await fs.vfs.sending(epoch, commit(2));
      fs.restart(what === "kill" ? undefined : seededStream(seed));
      expect(sent()).toEqual([commit(1), commit(2)]);
      await fs.vfs.checkpoint();
      fs.restart();
      expect(sent()).toEqual([commit(1), commit(2)]);
    }
  });

  test("goes with its epoch", async () => {
    const { fs, epoch, sent } = await sealed();
    await fs.vfs.sending(epoch, commit(1));
    await fs.make("g", "y");
    await fs.publish();
    expect(sent()).toBeUndefined();
    fs.restart();
    expect(sent()).toBeUndefined();
    expect(fs.vfs.heldEpochs).toEqual([epoch + 1]);
  });

  test("is dropped when its epoch is sealed anew; the epoch keeps its number unless something changed since", async () => {
    const { fs, epoch, sent } = await sealed();
    await fs.vfs.sending(epoch, commit(1));
    const before = await fs.snapshot();
    expect(fs.vfs.seal(true)).toMatchObject({ epoch, objects: [{}, {}] });
    expect(sent()).toBeUndefined();
    fs.restart();
    expect(sent()).toBeUndefined();
    expect(fs.vfs.heldEpochs).toEqual([epoch]);
    await fs.vfs.sending(epoch, commit(2));
    await fs.make("g", "y");
    expect(fs.vfs.seal(true)?.epoch).toBe(epoch + 1);
    expect(sent()).toBeUndefined();
    await fs.unlink("g");
    await fs.publish();
    await fs.publish();
    expect([...(await fs.snapshot()).keys()]).toEqual([...before.keys()]);
  });

  test("is refused for another epoch", async () => {
    const { fs, epoch, sent } = await sealed();
    await expect(fs.vfs.sending(epoch + 1, commit(1))).rejects.toMatchObject({ code: "internal" });
    fs.restart();
    expect(sent()).toBeUndefined();
  });

  test("makes room for later ones: only commits on the newest root can still arrive", async () => {
    const { fs, epoch, sent } = await sealed();
    for (let number = 0; number <= SENT_COMMITS; number++) await fs.vfs.sending(epoch, commit(number));
    expect(sent()).toEqual(Array.from({ length: SENT_COMMITS }, (_, at) => commit(at + 1)));
  });
});

test("a checkpoint without notes is as earlier versions wrote it", async () => {
  const { fs, epoch } = await sealed();
  const base = fs.vfs.baseState();
  const changes = fs.vfs.seal();
  if (changes === undefined) throw new Error("nothing is sealed");
  const { epoch: number, reference, lamport, directories } = changes;
  const flight = { epoch: number, reference, lamport, directories };
  const head = { frame: 3, epoch: epoch + 1, nextIno: 10, base, isWhole: true, inUse: NOTHING_IN_USE, olderBases: [] };
  const before = encodeHead({ ...head, flight });
  const noted = encodeHead({ ...head, flight: { ...flight, sent: [commit(1)] } });
  expect(decodeHead(before).flight).toEqual(flight);
  expect(decodeHead(noted).flight).toEqual({ ...flight, sent: [commit(1)] });
  // Earlier versions read that much, and ignore the rest.
  expect(noted.subarray(0, before.length)).toEqual(before);
  const inUse = { ...NOTHING_IN_USE, lost: [{ main: { parent: ROOT_INO, name: nameFromText("copy") }, names: [] }] };
  for (const each of [flight, undefined]) {
    const [without, used] = [encodeHead({ ...head, flight: each }), encodeHead({ ...head, flight: each, inUse })];
    expect([used.subarray(0, without.length), decodeHead(used).inUse]).toEqual([without, inUse]);
    expect(decodeHead(used).flight).toEqual(each);
  }
});
