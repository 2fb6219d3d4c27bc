import { MessageChannel } from "node:worker_threads";
import { expect, test } from "vitest";
import type { PublishedEpoch } from "../../../../src/fstree/change-set.ts";
import { EpochExchange } from "../../../../src/agent/publishing/epoch-exchange.ts";
import { overlayProxy } from "../../../../src/agent/threads/overlay-proxy.ts";
import { EncodedObjects, decodeChanged } from "../../../../src/overlay/data/encoded-epoch.ts";
import { answerCalls, createCaller } from "../../../../src/agent/threads/rpc.ts";
import type { WorkerMethods } from "../../../../src/agent/threads/threads.ts";
import { VfsHarness } from "../../../support/vfs-harness.ts";

test.each([0, 1, 511, 512, 513, 1_200])(
  "an epoch of %i files crosses between threads in pieces, unchanged in both directions",
  async (count) => {
    const fs = await VfsHarness.create();
    await fs.makeDirectory("d");
    for (let index = 0; index < count; index++) await fs.make(`d/f${index}`, "x");
    const taken: PublishedEpoch[] = [];
    const { port1, port2 } = new MessageChannel();
    const exchange = new EpochExchange({
      seal: () => fs.vfs.seal(),
      sync: () => fs.vfs.sync(),
      published: (epoch) => void taken.push(epoch),
    });
    const pieces: number[] = [];
    answerCalls<Pick<WorkerMethods, "seal" | "sealedObjects" | "publishedObjects" | "published">>(port2, {
      async seal() {
        const sealed = await exchange.seal();
        if (sealed !== undefined) pieces.push(decodeChanged(sealed.first).length);
        return sealed;
      },
      sealedObjects(range) {
        const objects = exchange.sealedObjects(range);
        pieces.push(decodeChanged(objects).length);
        return objects;
      },
      publishedObjects(piece) {
        pieces.push(new EncodedObjects([piece.objects]).size);
        exchange.publishedObjects(piece);
      },
      async published(epoch) {
        if (epoch.last !== undefined) pieces.push(new EncodedObjects([epoch.last.objects]).size);
        exchange.published(epoch);
      },
    });
    const overlay = overlayProxy(createCaller<WorkerMethods>(port1).call);
    expect(await overlay.seal(false)).toEqual(fs.vfs.seal());
    const result = await fs.build();
    if (result === undefined) throw new Error("there was nothing to seal");
    // Told again, as after an answer that got lost.
    await overlay.published(result);
    await overlay.published(result);
    const plain = (epoch: PublishedEpoch) => ({
      ...epoch,
      objects: Array.from(epoch.objects, ([ino, { id, record, names }]) => [ino, { id, record, names }]),
    });
    expect(taken.map(plain)).toEqual([plain(result), plain(result)]);
    expect(taken.map(({ objects }) => objects.size)).toEqual([result.objects.size, result.objects.size]);
    expect(Math.max(...pieces)).toBeLessThanOrEqual(512);
    port1.close();
  },
);

test("a file's equal values are in memory once after they crossed", async () => {
  const fs = await VfsHarness.create();
  const ino = await fs.make("f", "short");
  await fs.run((vfs) => vfs.setXattr(ino, "user.a", Buffer.from("attribute"), 0));
  await fs.publish();
  await fs.write(ino, 0, "S");
  const sealed = await new EpochExchange(fs.vfs).seal();
  const [changed] = decodeChanged(sealed?.first ?? new Uint8Array());
  const { base, record, content } = changed ?? {};
  expect(base?.content.kind).toBe("inline");
  expect(record?.xattrs === base?.xattrs).toBe(true);
  expect(record?.content === base?.content).toBe(true);
  expect(content?.kind === "edited" && content.base === base?.content).toBe(true);
});

test("a sealed epoch is returned again when asked for, and none if nothing changed", async () => {
  const fs = await VfsHarness.create();
  const exchange = new EpochExchange(fs.vfs);
  expect(await exchange.seal()).toBeUndefined();
  await fs.make("f", "x");
  const first = await exchange.seal();
  expect(first?.count).toBe(2);
  expect(await exchange.seal()).toEqual(first);
  expect(decodeChanged(exchange.sealedObjects({ from: 0, to: 9 }))).toHaveLength(2);
});
