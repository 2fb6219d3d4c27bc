import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { SqliteArbiter } from "../../../../src/arbiter/sqlite-arbiter.ts";
import { systemClock } from "../../../../src/base/clock.ts";
import { silentLog } from "../../../../src/base/log.ts";
import { systemRandom } from "../../../../src/base/random.ts";
import { register } from "../../../../src/cli/commands/migrate-store.ts";
import { runCommandLine } from "../../../../src/cli/program.ts";
import { Revocations } from "../../../../src/master/http/revocations.ts";
import { openMasterObjects } from "../../../../src/master/shared/open-objects.ts";
import { openSharedStorage } from "../../../../src/master/shared/shared-storage.ts";
import { openMasterStore } from "../../../../src/master/store/master-store.ts";
import { systemDatabases } from "../../../../src/objects/databases.ts";
import { SqliteRootStore } from "../../../../src/roots/sqlite-root-store.ts";
import { CommitChain, type MadeCommit } from "../../../support/commit-chain.ts";
import { createFakeRuntime } from "../../../support/fake-runtime.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";

const FAR = 4_000_000_000;
const ports = { clock: systemClock, random: systemRandom };
let folder: string;
let chain: CommitChain;
let made: MadeCommit[];

beforeEach(async () => {
  folder = await temporaryFolder();
  chain = await CommitChain.create();
  made = [];
  for (let seq = 1; seq <= 6; seq++) made.push(chain.make(`version ${seq}`, made.at(-1)));
  await using stores = await openMasterStore({ dir: data(), ...ports, log: silentLog, packBytes: 2_000 });
  const blocks = await stores.of(chain.owner.wallet);
  using roots = new SqliteRootStore(join(data(), "roots.db"));
  for (const { commit, blocks: fresh } of made) {
    await blocks.put(fresh);
    const outcome = await roots.swap(name(), commit.body.parent, commit.cid);
    if (outcome.kind === "committed") await blocks.swapped("photos", outcome.root);
  }
  using revoked = new Revocations(join(data(), "auth.db"), 0);
  await revoked.add("ab".repeat(32), FAR, 0);
});

const data = () => join(folder, "data");
const name = () => ({ owner: chain.owner.wallet, bucket: "photos" });
const packs = (dir: string) => readdir(join(dir, "owners", chain.owner.wallet, "pack"));
const openArbiter = () => new SqliteArbiter(join(folder, "arbiter.db"), systemClock);

async function migrate(...args: string[]) {
  const runtime = createFakeRuntime({});
  const places = [data(), `file://${folder}/store`, "--arbiter", `sqlite:${folder}/arbiter.db`];
  const status = await runCommandLine(["migrate-store", ...places, "--json", ...args], runtime, [register], "1.2.3");
  const told = runtime.out() === "" ? undefined : (JSON.parse(runtime.out()) as Record<string, unknown>);
  return { status, told, err: runtime.err() };
}

/** The blocks of the newest commit that a master on the new storage lacks. */
async function lacking(): Promise<number> {
  await using storage = await openSharedStorage({
    ...ports,
    arbiter: openArbiter(),
    objects: await openMasterObjects(`file://${folder}/store`, ports),
    cacheDir: undefined,
    databases: systemDatabases,
    log: silentLog,
  });
  const wanted = made.flatMap(({ blocks }) => blocks);
  const found = await (await storage.stores.of(chain.owner.wallet)).getMany(wanted.map(({ cid }) => cid));
  return wanted.filter(({ cid, bytes }) => Buffer.compare(found.get(cid) ?? Buffer.alloc(0), bytes) !== 0).length;
}

describe("migrate-store", () => {
  test("refuses an arbiter whose packs are in another store, and changes nothing", async () => {
    const elsewhere = { pack: "0".repeat(32), bytes: 1, rows: 1 };
    await using arbiter = openArbiter();
    const { nowMs } = await arbiter.packs.after(chain.owner.wallet, 0);
    const change = { add: [elsewhere], condemn: [], begunMs: nowMs, patienceMs: 60_000 };
    await arbiter.packs.change(chain.owner.wallet, change);
    const { status, err } = await migrate();
    expect(err).toMatch(/no_such_path/);
    expect(status).toBe(1);
    expect((await arbiter.packs.after(chain.owner.wallet, 0)).entries.map(({ pack }) => pack)).toEqual([
      elsewhere.pack,
    ]);
    expect(await arbiter.roots.get(name())).toBeUndefined();
  });

  test("refuses an arbiter that has another store, though its log is empty, and changes nothing", async () => {
    await using arbiter = openArbiter();
    await arbiter.takeStore("00".repeat(16));
    expect(await migrate()).toMatchObject({ status: 2, err: expect.stringContaining("config_invalid") as string });
    await expect(packs(join(folder, "store"))).rejects.toThrow("ENOENT");
    expect(await arbiter.packs.owners()).toEqual([]);
  });

  test("moves sealed and growing packs, roots and revoked tokens, and changes nothing in the folder", async () => {
    const before = await packs(data());
    expect(before.some((file) => file.endsWith(".open"))).toBe(true);
    expect(before.some((file) => /^[0-9a-f]{32}$/.test(file))).toBe(true);
    expect(await migrate("--verify")).toMatchObject({ status: 0, told: { roots: 1, revoked: 1 } });
    expect(await packs(data())).toEqual(before);
    expect(await lacking()).toBe(0);
    await using arbiter = openArbiter();
    expect((await arbiter.roots.get(name()))?.commit).toBe(made.at(-1)?.commit.cid);
    expect(await arbiter.revoked.all()).toEqual([{ digest: "ab".repeat(32), exp: FAR }]);
  });

  test("run again, it copies nothing; after a pack was lost it copies only that one", async () => {
    await migrate();
    const stored = await packs(join(folder, "store"));
    expect((await migrate()).told).toMatchObject({ packs: { copied: 0, skipped: stored.length } });
    await rm(join(folder, "store", "owners", chain.owner.wallet, "pack", stored[0] ?? ""));
    expect((await migrate()).told).toMatchObject({ packs: { copied: 1, skipped: stored.length - 1 } });
    expect(await packs(join(folder, "store"))).toEqual(stored);
  });

  test("another root under the same name is an error that names it, before anything is copied", async () => {
    {
      await using arbiter = openArbiter();
      await arbiter.roots.swap(name(), undefined, made[0]?.commit.cid ?? chain.genesis.cid);
    }
    const { status, err } = await migrate();
    expect({ status, err }).toEqual({ status: 4, err: expect.stringContaining("another root for bucket photos") });
    await expect(packs(join(folder, "store"))).rejects.toThrow("ENOENT");
  });

  test("a damaged block that a root needs leaves the target without that root", async () => {
    let damaged = 0;
    for (const pack of await packs(data())) {
      const path = join(data(), "owners", chain.owner.wallet, "pack", pack);
      const bytes = await readFile(path);
      const at = bytes.indexOf(chain.genesis.bytes);
      if (at < 0) continue;
      bytes[at] = (bytes[at] ?? 0) ^ 1;
      await writeFile(path, bytes);
      damaged++;
    }
    expect(damaged).toBe(1);
    const { status, err } = await migrate();
    expect({ status, err }).toEqual({ status: 8, err: expect.stringContaining("missing_blocks") });
    await using arbiter = openArbiter();
    expect(await arbiter.roots.get(name())).toBeUndefined();
  });

  test("other bytes under a pack's name in the store are an error, and stay", async () => {
    await migrate();
    const sealed = (await packs(data())).find((file) => /^[0-9a-f]{32}$/.test(file)) ?? "";
    const path = join(folder, "store", "owners", chain.owner.wallet, "pack", sealed);
    await writeFile(path, "other bytes");
    expect(await migrate()).toMatchObject({ status: 4, err: expect.stringContaining(sealed) as string });
    expect(await readFile(path, "utf8")).toBe("other bytes");
  });

  test("--verify finds stored bytes that changed behind an intact footer", async () => {
    await migrate();
    const sealed = (await packs(data())).find((file) => /^[0-9a-f]{32}$/.test(file)) ?? "";
    const path = join(folder, "store", "owners", chain.owner.wallet, "pack", sealed);
    const bytes = await readFile(path);
    bytes[0] = (bytes[0] ?? 0) ^ 1;
    await writeFile(path, bytes);
    expect((await migrate()).status).toBe(0);
    expect(await migrate("--verify")).toMatchObject({ status: 4, err: expect.stringContaining(sealed) as string });
  });

  test("a folder in use, and one without a master's data, are refused", async () => {
    {
      await using _stores = await openMasterStore({ dir: data(), ...ports, log: silentLog });
      expect(await migrate()).toMatchObject({ status: 4, err: expect.stringContaining("state_in_use") as string });
    }
    await rm(join(data(), "master.json"));
    expect(await migrate()).toMatchObject({ status: 1, err: expect.stringContaining("no_such_path") as string });
  });
});
