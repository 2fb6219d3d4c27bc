/** A master's folder moved to a shared store, and a shared store whose arbiter is lost, as processes. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, rmSync, truncateSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { walletSigner } from "../../src/crypto/wallet.ts";
import { postgresHere, PostgresServer } from "../support/postgres-server.ts";
import { programOf, S3Server } from "../support/s3-server.ts";
import { Workspace } from "../support/syncline.ts";

let space: Workspace;
const running = new Set<ChildProcess>();
const { wallet } = walletSigner(new Uint8Array(32).fill(0x42));

beforeAll(() => void (space = new Workspace("moved-master")));
afterEach(() => {
  for (const child of running) child.kill("SIGKILL");
  running.clear();
});
afterAll(() => space[Symbol.dispose]());

async function serve(...args: string[]) {
  const options = ["serve", "--json", "--listen", "127.0.0.1:0", "--allow", wallet, ...args];
  const [program = "", ...rest] = Workspace.command(...options);
  const child = spawn(program, rest, { env: space.env, stdio: ["ignore", "pipe", "inherit"] });
  running.add(child);
  const [line] = (await once(createInterface({ input: child.stdout }), "line")) as [string];
  const { origin } = JSON.parse(line) as { origin: string };
  const end = async () => {
    child.kill("SIGTERM");
    await once(child, "exit");
  };
  return { origin, end };
}

test("a bucket survives the move to a shared store, and then the loss of the arbiter", async () => {
  const first = await serve("--data", space.at("data"));
  writeFileSync(space.at("note.txt"), "kept\n");
  space.do("init", `${first.origin}/notes`);
  space.do("put", space.at("note.txt"), `${first.origin}/notes/note.txt`);
  await first.end();

  const arbiter = ["--arbiter", `sqlite:${space.at("arbiter.db")}`];
  const store = `file://${space.at("store")}`;
  const told = space.json("migrate-store", space.at("data"), store, ...arbiter, "--verify");
  expect(told).toMatchObject({ owners: 1, roots: 1, packs: { damaged: 0 } });
  const second = await serve(...arbiter, "--store", store);
  expect(space.do("cat", `${second.origin}/notes/note.txt`)).toBe("kept\n");
  writeFileSync(space.at("note.txt"), "newer\n");
  space.do("put", space.at("note.txt"), `${second.origin}/notes/newer.txt`);
  await second.end();

  for (const ending of ["", "-wal", "-shm"]) rmSync(space.at("arbiter.db") + ending, { force: true });
  const [found] = space.lines("rescue", store);
  expect(found).toMatchObject({ owner: wallet, put: "listed", commits: [{ complete: true }] });
  const named = ["--put", "--name", `notes=${String(found?.["genesis"])}`];
  expect(space.lines("rescue", store, ...arbiter, ...named)[0]).toMatchObject({ bucket: "notes", put: "created" });
  const early = space.run(["serve", ...arbiter, "--store", store, "--accept-roots"]);
  expect(early).toMatchObject({ status: 4, err: expect.stringContaining("another arbiter") as string });
  const sixMinutesAgo = new Date(Date.now() - 360_000);
  utimesSync(space.at("store", "owners", "beats"), sixMinutesAgo, sixMinutesAgo);
  const third = await serve(...arbiter, "--store", store, "--accept-roots");
  expect(space.do("cat", `${third.origin}/notes/note.txt`)).toBe("kept\n");
  expect(space.do("cat", `${third.origin}/notes/newer.txt`)).toBe("newer\n");
  await third.end();

  const packs = space.at("store", "owners", wallet, "pack");
  for (const pack of readdirSync(packs)) truncateSync(join(packs, pack), 100);
  const { status, out } = space.run(["verify", ...arbiter, "--store", store]);
  expect({ status, out }).toMatchObject({ status: 8, out: expect.stringMatching(/^damaged {2}0x.* pack /) as string });
  expect(space.run(["verify", ...arbiter]).status).toBe(2);
  expect(space.run(["verify", "--arbiter", `sqlite:${space.at("none.db")}`, "--store", store]).status).toBe(1);
  expect(existsSync(space.at("none.db"))).toBe(false);
  const wrong = `file://${space.at("mistyped")}`;
  for (const command of [
    ["verify", "--store", wrong],
    ["rescue", wrong],
    ["serve", "--store", wrong],
  ]) {
    expect(space.run([...command, ...arbiter]), command[0]).toMatchObject({
      status: 1,
      err: expect.stringContaining("no packs") as string,
    });
  }
  expect(existsSync(space.at("mistyped"))).toBe(false);
});

const canShare = postgresHere() !== undefined && programOf("versitygw") !== undefined;

test.skipIf(!canShare)("a folder moves to PostgreSQL and S3, where rescue knows its roots", async () => {
  const first = await serve("--data", space.at("old"));
  writeFileSync(space.at("note.txt"), "kept\n");
  space.do("init", `${first.origin}/notes`);
  space.do("put", space.at("note.txt"), `${first.origin}/notes/note.txt`);
  await first.end();

  await using postgres = await PostgresServer.start(space.at());
  const arbiter = ["--arbiter", postgres.url];
  await using s3 = await S3Server.start("versitygw", space.at("s3"));
  Object.assign(space.env, s3.env);
  const store = `s3://${s3.bucket}/packs?endpoint=${s3.endpoint}`;
  space.do("migrate", "up", ...arbiter);
  expect(space.json("migrate-store", space.at("old"), store, ...arbiter)).toMatchObject({ roots: 1 });
  expect(space.lines("rescue", store, ...arbiter)[0]).toMatchObject({ bucket: "notes", put: "there" });
  const second = await serve(...arbiter, "--store", store);
  expect(space.do("cat", `${second.origin}/notes/note.txt`)).toBe("kept\n");
  const sound = { owners: 1, buckets: 1, damaged: 0, orphans: 0 };
  expect(space.json("verify", ...arbiter, "--store", store)).toMatchObject(sound);
  const health = async () => (await fetch(`${second.origin}/health`)).json() as Promise<unknown>;
  await s3.kill();
  const away = { arbiter: "ok", store: "failed", code: "store_unreachable" };
  await expect.poll(health, { timeout: 20_000 }).toMatchObject(away);
  await s3.start();
  await expect.poll(health, { timeout: 60_000 }).toEqual({ status: "ok", arbiter: "ok", store: "ok" });
  await second.end();
});
