import { join } from "node:path";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { beforeEach, describe, expect, test } from "vitest";
import { SqliteArbiter } from "../../../../src/arbiter/sqlite-arbiter.ts";
import { systemClock } from "../../../../src/base/clock.ts";
import { RECOVERY_FEATURE } from "../../../../src/format/commits/features.ts";
import type { Cid } from "../../../../src/base/ids.ts";
import type { Block } from "../../../../src/blocks/block-store.ts";
import { register } from "../../../../src/cli/commands/rescue.ts";
import { runCommandLine } from "../../../../src/cli/program.ts";
import { packName } from "../../../../src/format/blocks/object-name.ts";
import { openMasterObjects } from "../../../../src/master/shared/open-objects.ts";
import { systemRandom } from "../../../../src/base/random.ts";
import { buildPack } from "../../../../src/packs/pack-builder.ts";
import { CommitChain, type MadeCommit } from "../../../support/commit-chain.ts";
import { createFakeRuntime } from "../../../support/fake-runtime.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";

let folder: string;
let chain: CommitChain;

beforeEach(async () => {
  folder = await temporaryFolder();
  chain = await CommitChain.create();
});

interface Told {
  readonly bucket: string;
  readonly genesis: Cid;
  readonly root: Cid | null;
  readonly put: string;
  readonly commits: readonly { commit: Cid; seq: number; complete: boolean }[];
}

async function rescue(...args: string[]) {
  const runtime = createFakeRuntime({});
  const store = `file://${folder}/store`;
  const status = await runCommandLine(["rescue", store, "--json", ...args], runtime, [register], "1.2.3");
  const lines = runtime
    .out()
    .split("\n")
    .filter((line) => line !== "");
  const told = lines.map((line) => JSON.parse(line) as Told & { buckets?: number });
  return { status, found: told.filter(({ buckets }) => buckets === undefined), err: runtime.err() };
}

/** Stores the blocks as one pack that no log names. */
async function store(blocks: Iterable<Block>, owner = chain.owner.wallet): Promise<void> {
  const ports = { clock: systemClock, random: systemRandom };
  await using objects = await openMasterObjects(`file://${folder}/store`, ports);
  const { pack, body } = buildPack(packName(systemRandom.bytes(16)), blocks);
  expect((await objects.of(owner).putNew(pack.name, body)).kind).toBe("stored");
}

const arbiter = () => ["--arbiter", `sqlite:${folder}/arbiter.db`];

async function roots() {
  await using opened = new SqliteArbiter(join(folder, "arbiter.db"), systemClock);
  return (await opened.roots.list(chain.owner.wallet, "", 10)).map(({ bucket, commit }) => ({ bucket, commit }));
}

async function storeLine(count: number): Promise<MadeCommit[]> {
  const made: MadeCommit[] = [];
  for (let seq = 1; seq <= count; seq++) made.push(chain.make(`version ${seq}`, made.at(-1)));
  for (const { blocks } of made) await store(blocks);
  return made;
}

describe("rescue", () => {
  test("lists the newest commit of each bucket and changes nothing without --put", async () => {
    const [, , last] = await storeLine(3);
    const other = await CommitChain.create(2);
    const single = other.make("another bucket", undefined);
    await store(single.blocks);
    const { status, found } = await rescue(...arbiter());
    expect(status).toBe(0);
    expect(new Map(found.map(({ genesis, root }) => [genesis, root]))).toEqual(
      new Map([
        [chain.genesis.cid, last?.commit.cid],
        [other.genesis.cid, single.commit.cid],
      ]),
    );
    expect(found.every(({ put, bucket }) => put === "listed" && /^rescued-[0-9a-f]{8}$/.test(bucket))).toBe(true);
    expect(await roots()).toEqual([]);
  });

  test("--put creates the root under the given name; again, it finds it there", async () => {
    const made = await storeLine(2);
    const named = ["--name", `photos=${chain.genesis.cid}`];
    expect(await rescue(...arbiter(), "--put", ...named)).toMatchObject({ status: 0, found: [{ put: "created" }] });
    const want = [{ bucket: "photos", commit: made[1]?.commit.cid }];
    expect(await roots()).toEqual(want);
    expect(await rescue(...arbiter(), "--put")).toMatchObject({
      status: 0,
      found: [{ put: "there", bucket: "photos" }],
      err: expect.stringContaining("--accept-roots") as string,
    });
    expect(await roots()).toEqual(want);
  });

  test("--put creates nothing at an arbiter that has another store", async () => {
    await storeLine(1);
    {
      await using opened = new SqliteArbiter(join(folder, "arbiter.db"), systemClock);
      await opened.takeStore("00".repeat(16));
    }
    expect(await rescue(...arbiter(), "--put")).toMatchObject({ status: 2, found: [] });
    expect(await rescue(...arbiter())).toMatchObject({ status: 0, found: [{ put: "listed" }] });
    expect(await roots()).toEqual([]);
  });

  test("--put creates no root if a --name names nothing that was found", async () => {
    await storeLine(1);
    const foreign = (await CommitChain.create(9)).genesis.cid;
    const done = await rescue(...arbiter(), "--put", "--name", `photos=${foreign}`);
    expect(done).toMatchObject({ status: 1, found: [], err: expect.stringContaining("no_such_root") as string });
    expect(await roots()).toEqual([]);
  });

  test("a root that is there under another name than the given one keeps it, and the status says so", async () => {
    const [made] = await storeLine(1);
    expect(await rescue(...arbiter(), "--put")).toMatchObject({ status: 0, found: [{ put: "created" }] });
    const [{ bucket } = { bucket: "" }] = await roots();
    const done = await rescue(...arbiter(), "--put", "--name", `photos=${chain.genesis.cid}`);
    expect(done).toMatchObject({ status: 4, found: [{ put: "other name", bucket }] });
    expect(await roots()).toEqual([{ bucket, commit: made?.commit.cid }]);
  });

  test("a root that exists under the name is never replaced", async () => {
    await storeLine(1);
    const foreign = (await CommitChain.create(9)).make("other", undefined).commit.cid;
    const name = { owner: chain.owner.wallet, bucket: "photos" };
    {
      await using opened = new SqliteArbiter(join(folder, "arbiter.db"), systemClock);
      await opened.roots.swap(name, undefined, foreign);
    }
    const done = await rescue(...arbiter(), "--put", "--name", `photos=${chain.genesis.cid}`);
    expect(done).toMatchObject({ status: 4, found: [{ put: "name taken" }] });
    expect(done.err).toContain("Do not serve yet");
    expect(await roots()).toEqual([{ bucket: "photos", commit: foreign }]);
  });

  test("an incomplete newest commit is listed, and the newest complete one becomes the root", async () => {
    const [first] = await storeLine(1);
    const second = chain.make("lost content", first);
    await store([second.commit]);
    const { status, found } = await rescue(...arbiter(), "--put");
    expect(status).toBe(8);
    expect(found[0]).toMatchObject({
      root: first?.commit.cid,
      put: "created",
      commits: [
        { commit: second.commit.cid, seq: 2, complete: false },
        { commit: first?.commit.cid, seq: 1, complete: true },
      ],
    });
  });

  test("of two newest commits none is chosen, until --name names one", async () => {
    const [first] = await storeLine(1);
    const [left, right] = [chain.make("left", first), chain.make("right", first)];
    await store([...left.blocks, ...right.blocks]);
    const asked = await rescue(...arbiter(), "--put");
    expect(asked).toMatchObject({ status: 4, found: [{ put: "ambiguous", root: null }] });
    expect(asked.err).toContain("Do not serve yet");
    expect(asked.err).not.toContain("--accept-roots");
    expect(new Set(asked.found[0]?.commits.map(({ commit }) => commit))).toEqual(
      new Set([left.commit.cid, right.commit.cid]),
    );
    expect(await roots()).toEqual([]);
    const named = await rescue(...arbiter(), "--put", "--name", `docs=${left.commit.cid}`);
    expect(named).toMatchObject({ status: 0, found: [{ put: "created" }] });
    expect(await roots()).toEqual([{ bucket: "docs", commit: left.commit.cid }]);
  });

  test("a lost root that was merged in again is passed over, even if it is newer", async () => {
    const line = await storeLine(3);
    const [first] = line;
    const lost = line.at(-1)?.commit.cid;
    if (lost === undefined) throw new Error("no commit");
    const features = { incompat: [], roCompat: [], compat: [RECOVERY_FEATURE] };
    const merged = chain.make("merged", first, { features, recovered: [lost] });
    await store(merged.blocks);
    expect(await rescue(...arbiter(), "--put", "--name", `docs=${merged.commit.body.genesis}`)).toMatchObject({
      status: 0,
      found: [{ put: "created", root: merged.commit.cid }],
    });
  });

  test("commits of another wallet's bucket, or with a changed signature, do not count", async () => {
    const stranger = (await CommitChain.create(3, 8)).make("strange", undefined);
    await store(stranger.blocks);
    const mine = chain.make("mine", undefined);
    const forged = new Uint8Array(mine.commit.bytes);
    forged[forged.length - 1] = (forged.at(-1) ?? 0) ^ 1;
    const { decodeCommit } = await import("../../../../src/format/commits/commit.ts");
    await store([...mine.blocks.filter(({ cid }) => cid !== mine.commit.cid), decodeCommit(forged)]);
    const { found, err } = await rescue();
    expect(found).toEqual([]);
    expect(err).toContain("2 commits without a valid signature");
  });

  test("a pack with a damaged footer is reported and left alone", async () => {
    await storeLine(1);
    const packs = join(folder, "store", "owners", chain.owner.wallet, "pack");
    const [pack = ""] = await readdir(packs);
    await store((await CommitChain.create(2)).make("second", undefined).blocks);
    const bytes = await readFile(join(packs, pack));
    bytes[bytes.length - 20] = (bytes.at(-20) ?? 0) ^ 1;
    await writeFile(join(packs, pack), bytes);
    const { status, found, err } = await rescue();
    expect({ status, found: found.length }).toEqual({ status: 8, found: 1 });
    expect(err).toContain("1 pack without a valid footer");
    expect((await readdir(packs)).length).toBe(2);
  });

  test("--put without an arbiter, and a store without packs, are refused", async () => {
    expect(await rescue("--put")).toMatchObject({ status: 2 });
    expect(await rescue()).toMatchObject({ status: 1, err: expect.stringContaining("no_such_path") as string });
    expect(await readdir(folder)).toEqual([]);
  });
});
