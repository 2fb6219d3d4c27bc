/** A bucket whose root was set back to an older copy, while the newer commits are still in the store. */
import { expect, test } from "vitest";
import { COMMIT_FOLDER, ROOT_OBJECT } from "../../../../src/format/blocks/object-name.ts";
import { type ObjectStore, putOver } from "../../../../src/objects/object-store.ts";
import { noise } from "../../../support/bytes.ts";
import {
  collectIn,
  EAGER,
  faultsOf,
  HOUR_MS,
  Hours,
  newStore,
  opened,
  shown,
} from "../../../support/collected-store.ts";

type Agent = Awaited<ReturnType<typeof opened>>;

async function publish(agent: Agent, hours: Hours, files: readonly string[]): Promise<void> {
  for (const file of files) {
    expect(await agent.put(file, noise(30_000, file.length))).toBe("published");
    hours.ms += HOUR_MS;
  }
}

async function rootOf(store: ObjectStore): Promise<Uint8Array> {
  return (await store.get(ROOT_OBJECT))?.bytes ?? new Uint8Array();
}

async function putRoot(store: ObjectStore, bytes: Uint8Array): Promise<void> {
  const outcome = await putOver(store, ROOT_OBJECT, [bytes], (await store.get(ROOT_OBJECT))?.token);
  expect(outcome.kind).toBe("stored");
}

async function commitObjects(store: ObjectStore): Promise<Set<string>> {
  const names = new Set<string>();
  for await (const { name } of store.list(COMMIT_FOLDER)) names.add(name);
  return names;
}

/** A bucket of which two newer roots were lost. */
async function setBack(hours: Hours) {
  const store = await newStore(hours);
  const agent = await opened(store, hours);
  await publish(agent, hours, ["a", "b"]);
  const older = await rootOf(store);
  await publish(agent, hours, ["c", "d"]);
  const newest = { root: await rootOf(store), shown: await shown(store, hours) };
  await putRoot(store, older);
  hours.ms += HOUR_MS;
  return { store, newest };
}

test("a collection deletes nothing that followed a lost root, so that the root can be put back", async () => {
  const hours = new Hours();
  const { store, newest } = await setBack(hours);
  for (const dryRun of [true, false])
    await expect(collectIn(store, hours, { ...EAGER, dryRun })).rejects.toMatchObject({ code: "root_rolled_back" });
  await putRoot(store, newest.root);
  expect(await faultsOf(store, hours)).toEqual([]);
  expect(await shown(store, hours)).toEqual(newest.shown);
});

test("the same while the newer commits are too young to be deleted themselves", async () => {
  const hours = new Hours();
  const store = await newStore(hours);
  const agent = await opened(store, hours);
  for (let round = 0; round < 20; round++) await publish(agent, hours, [`${round}`]);
  const older = await rootOf(store);
  hours.ms += 48 * HOUR_MS;
  await publish(agent, hours, ["c", "d"]);
  const newest = await rootOf(store);
  await putRoot(store, older);
  const options = { leastGainBytes: -Infinity, youngMs: 24 * HOUR_MS };
  await expect(collectIn(store, hours, options)).rejects.toMatchObject({ code: "root_rolled_back" });
  await putRoot(store, newest);
  expect(await faultsOf(store, hours)).toEqual([]);
});

test("a collection that deletes nothing is not refused", async () => {
  const hours = new Hours();
  const { store } = await setBack(hours);
  expect(await collectIn(store, hours, { leastGainBytes: Infinity })).toMatchObject({ isWorth: false, dropped: 0 });
});

test("the same once a machine that saw no newer root has published more than was lost", async () => {
  const hours = new Hours();
  const { store, newest } = await setBack(hours);
  await publish(await opened(store, hours), hours, ["x", "y", "z"]);
  hours.ms += HOUR_MS;
  await expect(collectIn(store, hours, EAGER)).rejects.toMatchObject({ code: "root_rolled_back" });
  await putRoot(store, newest.root);
  expect(await faultsOf(store, hours)).toEqual([]);
});

test("who accepts the older state frees the space of the newer one", async () => {
  const hours = new Hours();
  const { store } = await setBack(hours);
  const before = await commitObjects(store);
  await collectIn(store, hours, { ...EAGER, acceptsLostRoots: true });
  const after = await commitObjects(store);
  expect([...before].filter((name) => !after.has(name)).length).toBeGreaterThanOrEqual(2);
  expect(await faultsOf(store, hours)).toEqual([]);
});

test("what is left of swaps that others won is collected", async () => {
  const hours = new Hours();
  const store = await newStore(hours);
  const agents = [await opened(store, hours), await opened(store, hours), await opened(store, hours)];
  for (let round = 0; round < 5; round++) {
    await Promise.all(agents.map((agent, index) => agent.put(`${round}-${index}`, noise(2000, index))));
    hours.ms += HOUR_MS;
  }
  hours.ms += HOUR_MS;
  const before = (await commitObjects(store)).size;
  expect(before).toBeGreaterThan(1 + 5 * agents.length);
  await collectIn(store, hours, EAGER);
  expect((await commitObjects(store)).size).toBeLessThan(before);
  expect(await faultsOf(store, hours)).toEqual([]);
});
