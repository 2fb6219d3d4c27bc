/** When blocks of files in use are fetched and dropped: rounds over contents that tests script. */
import { expect, test } from "vitest";
import { InUseBlocks } from "../../../../src/agent/pins/in-use-blocks.ts";
import { SynclineError } from "../../../../src/base/errors.ts";
import type { Cid } from "../../../../src/base/ids.ts";
import { silentLog } from "../../../../src/base/log.ts";
import type { Block } from "../../../../src/blocks/block-store.ts";
import { PinnedBlocks } from "../../../../src/blocks/pinned-blocks.ts";
import type { ContentInUse } from "../../../../src/overlay/contents-in-use.ts";
import { BlockMap } from "../../../support/block-map.ts";
import { noise } from "../../../support/bytes.ts";
import { blockOf } from "../../../support/commit-chain.ts";
import { ManualClock } from "../../../support/manual-clock.ts";

const BYTES = 60_000;
const AGAIN_MS = 30_000;

/** Kept blocks in memory, on a disk with so much room, with a log of what is done to them. */
class Kept extends PinnedBlocks {
  readonly here = new Map<Cid, Uint8Array>();
  readonly done: string[] = [];
  room = Infinity;

  constructor() {
    super("", silentLog);
  }
  override async held(cids: readonly Cid[]) {
    return new Map([...this.here].filter(([cid]) => cids.includes(cid)));
  }
  override async list() {
    return new Map(Array.from(this.here, ([cid, { length }]) => [cid, length] as const));
  }
  override async removeUnfinished() {}
  override async write({ cid, bytes }: Block) {
    this.done.push("write");
    this.here.set(cid, bytes);
  }
  override async drop(cid: Cid) {
    this.done.push("drop");
    this.here.delete(cid);
  }
  override spare() {
    return this.room - [...this.here.values()].reduce((sum, { length }) => sum + length, 0);
  }
}

/** Files without a name, of one block each. */
function world(count: number) {
  const store = new BlockMap();
  const files = Array.from({ length: count }, (_, seed) => blockOf("raw", noise(BYTES, seed)));
  for (const block of files) store.put(block);
  const kept = new Kept();
  const clock = new ManualClock();
  const state = {
    tree: 0,
    isPaused: false,
    contents: files.map(({ cid }) => inUse(cid)),
    isWhole: true,
    asked: async () => {},
  };
  const rounds = new InUseBlocks({
    kept,
    blocks: store,
    tree: () => `tree ${state.tree}` as Cid,
    contents: async () => {
      await state.asked();
      return { contents: state.contents, isWhole: state.isWhole };
    },
    held: (cids) => kept.held(cids),
    isPaused: () => state.isPaused,
    clock,
    log: silentLog,
  });
  const after = async (ms: number) => {
    await clock.advance(ms);
    await rounds.idle();
  };
  /** A new tree, and the round that follows. */
  const moved = async () => {
    state.tree++;
    rounds.moved();
    await after(1_000);
  };
  return { store, files, kept, state, rounds, after, moved };
}

function inUse(cid: Cid, id?: string): ContentInUse {
  return {
    id: id as ContentInUse["id"],
    place: undefined,
    content: { kind: "chunk", cid },
    size: BYTES,
    dataBytes: BYTES,
  };
}

test("what is kept does not count against the room that it may take", async () => {
  const { kept, moved } = world(1);
  kept.room = 1.5 * BYTES;
  for (let tree = 0; tree < 5; tree++) await moved();
  expect(kept.done).toEqual(["write"]);
});

test("what a file needed goes soon after it is closed, though the tree stays", async () => {
  const { kept, state, after, moved } = world(2);
  await moved();
  expect(kept.here.size).toBe(2);
  state.contents.pop();
  await after(AGAIN_MS);
  expect(kept.here.size).toBe(1);
});

test("a lost block costs no other, and a file is kept whole if the tree's version of it cannot be read", async () => {
  const { store, files, kept, state, moved } = world(20);
  store.held.delete(files[3]?.cid ?? ("" as Cid));
  state.contents = files.map(({ cid }, at) => inUse(cid, at % 2 === 0 ? "0".repeat(32) : undefined));
  await moved();
  expect(kept.here.size).toBe(19);
});

test("nothing is dropped while it is unknown what is needed, or once the process ends", async () => {
  const { store, kept, state, rounds, moved } = world(1);
  await moved();
  const [first] = state.contents;
  state.contents = first === undefined ? [] : [{ ...first, content: { kind: "list", cid: first.content.cid } }];
  store.held.clear();
  kept.here.clear();
  const other = blockOf("raw", noise(10, 1));
  await kept.write(other);
  await moved();
  expect([...kept.here.keys()]).toEqual([other.cid]);
  state.contents = [];
  state.asked = async () => rounds[Symbol.dispose]();
  await moved();
  expect([...kept.here.keys()]).toEqual([other.cid]);
});

test("a pause ends the traffic of a round, drops nothing, and is made up for", async () => {
  const { store, kept, state, after, moved } = world(300);
  const getMany = store.getMany.bind(store);
  store.getMany = async (cids) => {
    if (state.isPaused) throw new SynclineError("internal", "a read during a pause");
    state.isPaused = true;
    return getMany(cids);
  };
  await moved();
  const begun = kept.here.size;
  expect(begun).toBeGreaterThan(0);
  expect(begun).toBeLessThan(300);
  state.contents = [];
  await moved();
  await after(AGAIN_MS);
  expect(kept.done).not.toContain("drop");
  store.getMany = getMany;
  state.isPaused = false;
  await after(AGAIN_MS);
  expect(kept.here.size).toBe(0);
});

test("a base that changes all the time does not put a round off", async () => {
  const { kept, state, rounds, after } = world(1);
  for (let change = 0; change < 10; change++) {
    state.tree++;
    rounds.moved();
    await after(800);
  }
  expect(kept.here.size).toBe(1);
});

test("what is here stays, though other files come before it, or not all were looked at", async () => {
  const { kept, state, files, moved } = world(2);
  kept.room = 1.5 * BYTES;
  state.contents = state.contents.slice(1);
  await moved();
  state.contents = files.map(({ cid }) => inUse(cid));
  await moved();
  expect([...kept.here.keys()]).toEqual([files[1]?.cid]);
  [state.contents, state.isWhole] = [[], false];
  await moved();
  expect([...kept.here.keys()]).toEqual([files[1]?.cid]);
});
