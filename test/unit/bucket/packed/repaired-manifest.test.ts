/** Agents that were open while a repair gave the newest commit object another manifest. */
import { beforeEach, describe, expect, test } from "vitest";
import type { WriterId } from "../../../../src/base/ids.ts";
import type { Block } from "../../../../src/blocks/block-store.ts";
import { auditObjects } from "../../../../src/bucket/packed/object-audit.ts";
import { repairObjects } from "../../../../src/bucket/packed/object-repair.ts";
import { PackedRemote } from "../../../../src/bucket/packed/packed-remote.ts";
import { commitObjectName } from "../../../../src/format/blocks/object-name.ts";
import { PACK_TAIL_BYTES } from "../../../../src/format/blocks/pack.ts";
import { MemoryObjectStore } from "../../../../src/objects/memory-object-store.ts";
import type { ObjectStore } from "../../../../src/objects/object-store.ts";
import { S3BucketStore } from "../../../../src/objects/s3/s3-bucket-store.ts";
import { seededRandom } from "../../../../src/simulate/seeded-random.ts";
import { ManualClock } from "../../../support/manual-clock.ts";
import { made, node, publish, raw, rootOf, upload } from "../../../support/opaque-commits.ts";
import { S3Script } from "../../../support/s3-script.ts";

const WRITER = "0".repeat(32) as WriterId;
const WHOLE = { missing: 0, damage: [] };
let agents = 0;

function agent(store: ObjectStore): PackedRemote {
  return new PackedRemote(store, { clock: new ManualClock(), random: seededRandom(++agents), writer: () => WRITER });
}

/** Opens the bucket's store anew, as another process does. */
type Open = () => ObjectStore;

const FORMS: readonly { readonly form: string; readonly begin: () => Promise<AsyncDisposable & { open: Open }> }[] = [
  {
    form: "replaced",
    begin: async () => {
      const store = new MemoryObjectStore();
      return { open: () => store, [Symbol.asyncDispose]: async () => {} };
    },
  },
  {
    form: "numbered",
    begin: async () => {
      const server = await S3Script.start();
      const common = {
        clock: new ManualClock(),
        chooseForm: async () => "numbered" as const,
        checkForm: async () => {},
      };
      const open = () => new S3BucketStore({ ...common, store: server.store() });
      return { open, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
    },
  },
];

describe.each(FORMS)("a bucket whose root is $form", ({ begin }) => {
  let open: Open;
  let blocks: Block[];
  let idle: PackedRemote;

  beforeEach(async () => {
    const world = await begin();
    open = world.open;
    blocks = [];
    idle = await made(async () => agent(open()));
    for (let index = 0; index < 4; index++) {
      const block = raw(`block ${index}`);
      await publish(idle, `${index}`, [block], [node(`node ${index}`)]);
      blocks.push(block, node(`node ${index}`), upload(`${index}`).commit);
    }
    await idle.blocks.getMany(blocks.map(({ cid }) => cid));
    return () => world[Symbol.asyncDispose]();
  });

  /** Damages the newest manifest, and repairs the bucket. */
  async function repair(): Promise<void> {
    const store = open();
    const name = commitObjectName((await rootOf(agent(store))).commit);
    const bytes = Buffer.from((await store.get(name))?.bytes ?? []);
    await store.delete(name);
    const at = bytes.length - PACK_TAIL_BYTES - 1;
    await store.putNew(name, [bytes.with(at, (bytes[at] ?? 0) ^ 1)]);
    expect((await repairObjects(agent(store), { random: seededRandom(7) })).damage).toEqual([]);
  }

  /** What a new agent can read, and the damage that an audit finds. */
  async function state(more: readonly Block[]) {
    const fresh = agent(open());
    const { size } = await fresh.blocks.getMany([...blocks, ...more].map(({ cid }) => cid));
    return { missing: blocks.length + more.length - size, damage: (await auditObjects(fresh)).damage };
  }

  test("keeps what was mended when an agent publishes that had read the old manifest", async () => {
    await repair();
    await publish(idle, "after", [raw("after")], []);
    expect(await state([raw("after"), upload("after").commit])).toEqual(WHOLE);
  });

  test("refuses a commit that was prepared before the repair", async () => {
    await using session = idle.beginUpload();
    const prepared = await session.prepare(await rootOf(idle), upload("prepared"));
    await repair();
    expect((await prepared.swap()).kind).toBe("conflict");
    await publish(idle, "after", [], []);
    expect(await state([upload("after").commit])).toEqual(WHOLE);
  });

  test("refuses it also if the agent has seen the root since", async () => {
    await using session = idle.beginUpload();
    const before = await rootOf(idle);
    const prepared = await session.prepare(before, upload("prepared"));
    await repair();
    expect(await rootOf(idle)).toEqual({ commit: before.commit, version: before.version + 1 });
    expect((await prepared.swap()).kind).toBe("conflict");
    await publish(idle, "after", [], []);
    expect(await state([upload("after").commit])).toEqual(WHOLE);
  });
});
