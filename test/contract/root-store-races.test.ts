/** Swaps by processes that share a store: what no test inside one process can show. */
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { systemClock } from "../../src/base/clock.ts";
import type { Cid } from "../../src/base/ids.ts";
import { systemRandom } from "../../src/base/random.ts";
import type { MasterConnection } from "../../src/net/master-connection.ts";
import { FileObjectStore } from "../../src/objects/file-object-store.ts";
import { HttpRootStore } from "../../src/roots/http-root-store.ts";
import { ObjectRootStore, ONLY_BUCKET } from "../../src/roots/object-root-store.ts";
import type { BucketName, RootStore } from "../../src/roots/root-store.ts";
import { SqliteRootStore } from "../../src/roots/sqlite-root-store.ts";
import { compiledProcess } from "../support/compiled.ts";
import { sharedMaster } from "../support/shared-master.ts";
import { SignedCommits } from "../support/signed-commits.ts";
import type { RacerAnswer, RacerOrder, RootStoreKind } from "../support/swap-racer.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";
import { rootCid } from "./root-store.ts";

const RACERS = 8;
const ALL = process.env["SYNCLINE_TEST_ALL"] !== undefined;
const RACING = ALL ? 32 : 8;
/** Each round at a master uploads and checks eight commits. */
const ROUNDS = { objects: 200, sqlite: 200, http: ALL ? 200 : 40 };

let start: (...args: string[]) => ChildProcess;
const master = sharedMaster();
let connection: MasterConnection;
let commits: SignedCommits;
beforeAll(async () => {
  start = await compiledProcess("swap-racer");
  connection = master.connect();
  commits = await SignedCommits.open(connection);
});

describe.each<RootStoreKind>(["objects", "sqlite", "http"])("%s", (kind) => {
  test(`of ${RACERS} processes that race from one root exactly one wins, in each of ${ROUNDS[kind]} rounds`, async () => {
    const path = await pathFor(kind);
    const racers = await startRacers(RACERS, kind, path);
    const store = openHere(kind, path);
    let root: Cid | undefined;
    const began = performance.now();
    for (let round = 0; round < ROUNDS[kind]; round++) {
      const labels = racers.map((_, racer) => `${round}/${racer}`);
      const tries = kind === "http" ? await commits.make(labels, root) : labels.map(rootCid);
      const answers = await Promise.all(
        racers.map((racer, index) => ask(racer, { do: "swap", expected: root, next: tries[index] ?? rootCid("") })),
      );
      const outcomes = answers.map((answer) => (answer.is === "done" ? answer.outcome : JSON.stringify(answer)));
      expect(outcomes.toSorted()).toEqual(["committed", ...Array.from({ length: RACERS - 1 }, () => "conflict")]);
      root = tries[outcomes.indexOf("committed")];
      expect(await store.get(nameOf(path))).toEqual({ commit: root, version: round + 1 });
    }
    const ms = (performance.now() - began) / ROUNDS[kind];
    console.log(`${kind}: ${RACERS} processes, ${ROUNDS[kind]} rounds, one winner each, ${ms.toFixed(1)} ms a round`);
    await stopAll(racers);
  });

  test(`${RACING} processes that retry until they win each win once`, async () => {
    const path = await pathFor(kind);
    const racers = await startRacers(RACING, kind, path);
    const began = performance.now();
    const answers = await Promise.all(
      racers.map((racer, index) => ask(racer, { do: "win", next: rootCid(`${index}`), note: `${index}` })),
    );
    const ms = performance.now() - began;
    const attempts = answers.map((answer) => (answer.is === "done" ? answer.attempts : Infinity));
    console.log(`${kind}: ${RACING} processes in ${ms.toFixed(0)} ms, at most ${Math.max(...attempts)} attempts`);
    expect((await openHere(kind, path).get(nameOf(path)))?.version).toBe(RACING);
    await stopAll(racers);
  });
});

test("a process killed during its swaps, sometimes with the lock, blocks nobody", async () => {
  const path = await pathFor("objects");
  const [victim, heir] = await startRacers(2, "objects", path);
  if (victim === undefined || heir === undefined) throw new Error("no racers");
  await ask(heir, { do: "swap", expected: undefined, next: rootCid("start") });
  // Killed at any moment of a series of swaps, again and again: now and then with the lock in its hands.
  for (let kill = 0; kill < 5; kill++) {
    const [racer] = await startRacers(1, "objects", path);
    if (racer === undefined) throw new Error("no racer");
    for (let round = 0; round < 50; round++) racer.send({ do: "win", next: rootCid(`${kill}/${round}`) });
    await once(racer, "message");
    racer.kill("SIGKILL");
    await once(racer, "exit");
    const answer = await ask(heir, { do: "win", next: rootCid(`heir ${kill}`) });
    expect(answer).toMatchObject({ is: "done", outcome: "committed" });
  }
  await stopAll([victim, heir]);
});

async function pathFor(kind: RootStoreKind): Promise<string> {
  if (kind === "http") return master.newBucket();
  const folder = await temporaryFolder();
  return kind === "sqlite" ? join(folder, "roots.db") : folder;
}

function nameOf(path: string): BucketName {
  return path.startsWith("http:") ? { owner: "", bucket: new URL(path).pathname.slice(1) } : ONLY_BUCKET;
}

function openHere(kind: RootStoreKind, path: string): RootStore {
  if (kind === "http") return new HttpRootStore(connection);
  if (kind === "sqlite") return new SqliteRootStore(path);
  const ports = { clock: systemClock, random: systemRandom };
  return new ObjectRootStore(new FileObjectStore({ path, address: `file://${path}`, ...ports }));
}

async function startRacers(count: number, kind: RootStoreKind, path: string): Promise<ChildProcess[]> {
  // The store is made before many processes open it at once.
  openHere(kind, path);
  const racers = Array.from({ length: count }, () => start(kind, path));
  await Promise.all(racers.map((racer) => once(racer, "message")));
  return racers;
}

async function ask(racer: ChildProcess, order: RacerOrder): Promise<RacerAnswer> {
  racer.send(order);
  const [answer] = (await once(racer, "message")) as [RacerAnswer];
  return answer;
}

async function stopAll(racers: readonly ChildProcess[]): Promise<void> {
  await Promise.all(
    racers.map(async (racer) => {
      racer.disconnect();
      await once(racer, "exit");
    }),
  );
}
