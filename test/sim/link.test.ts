/** What stands between agents and a store hides nothing that the store can do. */
import { expect, test } from "vitest";
import { withKnownGenesis } from "../../src/agent/open-bucket.ts";
import { cachingRemote } from "../../src/bucket/caching-remote.ts";
import { PackedRemote } from "../../src/bucket/packed/packed-remote.ts";
import type { BucketRemote } from "../../src/bucket/remote.ts";
import { MemoryObjectStore } from "../../src/objects/memory-object-store.ts";
import type { ObjectStore } from "../../src/objects/object-store.ts";
import { FaultCounts } from "../../src/simulate/fault-counts.ts";
import { SimulatedProcess } from "../../src/simulate/process.ts";
import { seededRandom } from "../../src/simulate/seeded-random.ts";
import { sharedFolder, withMethods } from "../../src/simulate/shared-folder.ts";
import { CALM } from "../../src/simulate/disks/faulty-line.ts";
import { SimulatedLink } from "../../src/simulate/disks/simulated-link.ts";
import { Timeline } from "../../src/simulate/timeline.ts";

/** All that a store or a remote may offer and need not. */
const MAYBE_STORE: Record<OptionalOf<ObjectStore>, true> = {
  streamRanges: true,
  takeTurn: true,
  breakLock: true,
  watch: true,
  polling: true,
  salvaging: true,
  keepsPuts: true,
  isDoneWithBodies: true,
  requests: true,
  prune: true,
  returnRoot: true,
};
const MAYBE_REMOTE: Record<OptionalOf<BucketRemote>, true> = {
  lostRoot: true,
  linkedGenesis: true,
  forgetPlacement: true,
  doubt: true,
  doubtPack: true,
  holdBases: true,
  takeTurn: true,
  requests: true,
  masters: true,
  quota: true,
};

test("a link offers exactly what its store offers", async () => {
  const timeline = new Timeline();
  const plain: ObjectStore = Object.assign(new MemoryObjectStore(), {
    keepsPuts: undefined,
    isDoneWithBodies: undefined,
  });
  const breakLock = async () => "a@b";
  const requests = () => ({ put: 1, list: 0, get: 0, delete: 0, refused: 0, forMs: 0 });
  const polling = { firstMs: 1, lastMs: 2 };
  const whole = withMethods(sharedFolder(plain, timeline), {
    breakLock,
    polling,
    keepsPuts: true,
    isDoneWithBodies: true,
    requests,
    prune: async () => {},
    returnRoot: async () => ({ kind: "refused" }),
    streamRanges: async () => {},
    salvaging: () => plain,
  });
  for (const method of Object.keys(MAYBE_STORE)) {
    expect(Reflect.get(linkTo(whole, timeline), method), method).toBeDefined();
    expect(Reflect.get(linkTo(plain, timeline), method), method).toBeUndefined();
  }
  expect(await timeline.run(Promise.resolve(linkTo(whole, timeline).breakLock?.(false)))).toBe("a@b");
});

test("wrappers of a remote offer what the remote offers", () => {
  const ports = { clock: new Timeline(), random: seededRandom(1) };
  const remote: BucketRemote = new PackedRemote(new MemoryObjectStore(), ports);
  const cache = { held: async () => new Map(), keep: () => {} };
  for (const method of Object.keys(MAYBE_REMOTE))
    for (const around of [withKnownGenesis(remote, new Uint8Array()), cachingRemote(remote, cache)])
      expect(Reflect.get(around, method), method).toBeTypeOf("function");
});

test("each waiting writer has its turn once the one before it is done or has died", async () => {
  const timeline = new Timeline();
  const store = sharedFolder(new MemoryObjectStore(), timeline);
  const [first, second] = [new SimulatedProcess(timeline, 0), new SimulatedProcess(timeline, 0)];
  const turns = [first, second, undefined].map((process) => linkTo(store, timeline, process).takeTurn?.());
  await timeline.run(Promise.resolve(turns[0]));
  let others = 0;
  for (const turn of turns.slice(1)) void turn?.then(() => others++);
  await timeline.run(timeline.sleep(1_000));
  expect(others).toBe(0);
  first.kill();
  await timeline.run(timeline.sleep(1_000));
  expect(others).toBe(1);
  (await turns[1])?.[Symbol.dispose]();
  await timeline.run(timeline.sleep(1_000));
  expect(others).toBe(2);
});

test("a writer that waits too long goes on without a turn", async () => {
  const timeline = new Timeline();
  const store = sharedFolder(new MemoryObjectStore(), timeline);
  const turns = [1, 2].map(() => linkTo(store, timeline).takeTurn?.());
  await timeline.run(Promise.all(turns));
  expect(timeline.monotonicMs()).toBeGreaterThan(10_000);
});

test("a watcher gets a hint soon after a change, until it dies", async () => {
  const timeline = new Timeline();
  const store = sharedFolder(new MemoryObjectStore(), timeline);
  const process = new SimulatedProcess(timeline, 0);
  let hints = 0;
  linkTo(store, timeline, process).watch?.("root", () => hints++);
  const change = async (name: string) => {
    await timeline.run(store.putNew(name, [new Uint8Array()]));
    await timeline.run(timeline.sleep(100));
  };
  await change("root");
  expect(hints).toBe(1);
  process.kill();
  await change("root2");
  expect(hints).toBe(1);
});

type OptionalOf<Port> = { [Key in keyof Port]-?: undefined extends Port[Key] ? Key : never }[keyof Port] & string;

function linkTo(store: ObjectStore, clock: Timeline, process = new SimulatedProcess(clock, 0)): ObjectStore {
  return new SimulatedLink({
    store,
    clock,
    random: seededRandom(1),
    counts: new FaultCounts(),
    chances: () => CALM,
    isCut: () => false,
    isDead: () => process.isDead,
    death: process.death,
    onLate: () => {},
    onMissingReply: () => {},
  });
}
