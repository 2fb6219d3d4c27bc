/** Content that the bucket holds already, damaged, and that the same epoch edits: nothing new is made of damaged bytes. */
import { expect, test } from "vitest";
import { VerifiedReader } from "../../../../src/blocks/verified-reader.ts";
import { PackedRemote } from "../../../../src/bucket/packed/packed-remote.ts";
import { Staging } from "../../../../src/bucket/publish/staging.ts";
import { ChunkCache } from "../../../../src/content/chunk-cache.ts";
import { createContentConfig } from "../../../../src/content/config.ts";
import { editContent } from "../../../../src/content/edit.ts";
import { writeContent } from "../../../../src/content/write.ts";
import type { WriterId } from "../../../../src/base/ids.ts";
import { PACK_FOLDER } from "../../../../src/format/blocks/object-name.ts";
import { MemoryObjectStore } from "../../../../src/objects/memory-object-store.ts";
import type { ObjectStore } from "../../../../src/objects/object-store.ts";
import { seededRandom } from "../../../../src/simulate/seeded-random.ts";
import { ManualClock } from "../../../support/manual-clock.ts";
import { made, randomLooking, rootOf, upload } from "../../../support/opaque-commits.ts";

const MiB = 1024 * 1024;
const config = createContentConfig();
const pieces = Array.from({ length: 40 }, (_, index) => randomLooking(`piece ${index}`, MiB).bytes);
const size = pieces.length * MiB;
let agents = 0;

function agent(store: ObjectStore): PackedRemote {
  const writer = (++agents).toString(16).padStart(32, "0") as WriterId;
  return new PackedRemote(store, { clock: new ManualClock(), random: seededRandom(agents), writer: () => writer });
}

function staged(remote: PackedRemote, session: ReturnType<PackedRemote["beginUpload"]>): Staging {
  return new Staging(new VerifiedReader(remote.blocks), session);
}

async function damageAll(store: ObjectStore): Promise<void> {
  const names: string[] = [];
  for await (const { name } of store.list(PACK_FOLDER)) names.push(name);
  expect(names).not.toEqual([]);
  for (const name of names) {
    const bytes = Buffer.from((await store.get(name))?.bytes ?? []);
    for (let at = 1_000; at < bytes.length - 60_000; at += 4_096) bytes[at] = (bytes[at] ?? 0) ^ 1;
    await store.delete(name);
    await store.putNew(name, [bytes]);
  }
}

test("an upload fails when it edits content that it deduplicated against damaged blocks", async () => {
  const store = new MemoryObjectStore();
  const first = await made(async () => agent(store));
  {
    await using session = first.beginUpload();
    await writeContent(staged(first, session), config, { size, stretches: pieces });
    const prepared = await session.prepare(await rootOf(first), upload("import"));
    expect((await prepared.swap()).kind).toBe("committed");
  }
  await damageAll(store);
  const second = agent(store);
  await using session = second.beginUpload();
  const staging = staged(second, session);
  const content = await writeContent(staging, config, { size, stretches: pieces });
  const at = 5 * MiB;
  const segments = [
    { offset: 0, length: at, from: "base" as const, epoch: 0 },
    { offset: at, length: 1, from: "data" as const, epoch: 1 },
    { offset: at + 1, length: size - at - 1, from: "base" as const, epoch: 0 },
  ];
  const source = new ChunkCache(staging, { capacityBytes: 8 * MiB });
  const edited = editContent(source, staging, config, content, size, segments, size, async () => Uint8Array.of(0));
  await expect(edited).rejects.toMatchObject({ code: "block_corrupt" });
});
