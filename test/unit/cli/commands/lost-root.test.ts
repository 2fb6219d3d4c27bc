/** `verify` where a bucket in a folder has lost its root. */
import { cp, readdir, readFile, rm, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { rootFile } from "../../../../src/agent/state/root-file.ts";
import { systemClock } from "../../../../src/base/clock.ts";
import type { Cid, Lamport } from "../../../../src/base/ids.ts";
import { systemRandom } from "../../../../src/base/random.ts";
import { Bucket } from "../../../../src/bucket/bucket.ts";
import { openPacked } from "../../../../src/bucket/open-remote.ts";
import type { PackedRemote } from "../../../../src/bucket/packed/packed-remote.ts";
import { register } from "../../../../src/cli/commands/verify.ts";
import { runCommandLine } from "../../../../src/cli/program.ts";
import { walletSigner } from "../../../../src/crypto/wallet.ts";
import { commitObjectName } from "../../../../src/format/blocks/object-name.ts";
import { encodeRoot } from "../../../../src/format/blocks/root-object.ts";
import { signCertificate } from "../../../../src/format/commits/certificate.ts";
import { createFakeRuntime } from "../../../support/fake-runtime.ts";
import { createBucket, newWriter, NOT_AFTER } from "../../../support/test-bucket.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";
import { dropKept } from "../../../support/thinning.ts";

interface Told {
  readonly damage?: { readonly object: string; readonly what: string };
  readonly candidate?: {
    readonly commit: Cid;
    readonly seq: number;
    readonly newest: boolean;
    readonly follows: string;
  };
  readonly repaired?: string | number;
  readonly damaged?: number;
}

let folder: string;
let address: string;

beforeEach(async () => {
  folder = join(await temporaryFolder(), "bucket");
  address = `file://${folder}`;
});

const state = () => join(folder, "..", "state");

async function verify(...args: string[]) {
  const runtime = createFakeRuntime({});
  const line = ["verify", address, "--json", "--state", state(), ...args];
  const status = await runCommandLine(line, runtime, [register], "1.2.3");
  const told = runtime
    .out()
    .split("\n")
    .flatMap((text) => (text === "" ? [] : [JSON.parse(text) as Told]));
  const candidates = told.flatMap(({ candidate }) => candidate ?? []);
  return { status, told, candidates, err: runtime.err() };
}

async function opened(): Promise<PackedRemote> {
  const random = systemRandom;
  const reading = await openPacked(address, { clock: systemClock, random });
  return reading;
}

/** Publishes commits up to a seq; answers all by seq. */
async function published(to: number, seed = 1): Promise<Cid[]> {
  const line: Cid[] = [];
  await using remote = await opened();
  if ((await remote.readRoot()) === undefined) await createBucket(remote, seed);
  for (;;) {
    const bucket = await Bucket.open(remote, { blocks: remote.blocks });
    const { commit } = await bucket.head();
    line[commit.body.seq] = commit.cid;
    if (commit.body.seq === to) return line;
    await dropKept(await newWriter(bucket, seed + 20), []);
  }
}

async function rootNow(): Promise<Cid | undefined> {
  await using remote = await opened();
  return (await remote.readRoot())?.commit;
}

const rootPath = () => join(folder, "root");

/** Publishes one more commit on what is there, and puts the folder's root back as it was: the swap was lost. */
async function rival(line: readonly Cid[], on: number): Promise<Cid> {
  const before = await readFile(rootPath());
  await writeFile(rootPath(), encodeRoot({ commit: line[on] as Cid, version: on }));
  const made = await published(on + 1, 2);
  await writeFile(rootPath(), before);
  return made[on + 1] as Cid;
}

async function objectTime(commit: Cid, seconds: number): Promise<void> {
  await utimes(join(folder, commitObjectName(commit)), seconds, seconds);
}

describe("verify on a bucket without a root", () => {
  test.each([
    ["lost", async () => rm(rootPath())],
    ["empty", async () => writeFile(rootPath(), "")],
    ["nonsense", async () => writeFile(rootPath(), "nonsense\n")],
  ])("shows the newest commit where the root is %s, and changes nothing without --repair", async (_, harm) => {
    const line = await published(4);
    await harm();
    const before = await contents();
    const { status, told, candidates, err } = await verify();
    expect(status).toBe(8);
    expect(told[0]?.damage).toMatchObject({ object: "root" });
    expect(candidates).toMatchObject([{ commit: line[4], seq: 4, newest: true, follows: null }]);
    expect(err).toContain("--repair");
    expect(await contents()).toEqual(before);

    const repaired = await verify("--repair");
    expect(repaired.told.at(-1)).toMatchObject({ damaged: 0, repaired: 1 });
    expect(repaired.status).toBe(0);
    expect(await rootNow()).toBe(line[4]);
    expect((await published(5)).length).toBe(6);
  });

  test("finds the commit that a damaged root named by what is left of its address, even if others may be newer", async () => {
    const line = await published(4);
    await rival(line, 3);
    const text = await readFile(rootPath(), "latin1");
    const at = text.indexOf("\n") + 20;
    for (const letter of ["a", "b", "1"]) {
      await writeFile(rootPath(), text.slice(0, at) + letter + text.slice(at + 1));
      if ((await readFile(rootPath(), "latin1")) === text) continue;
      const { candidates } = await verify();
      expect(candidates).toMatchObject([{ commit: line[4], newest: true }]);
      expect((await verify("--repair")).status).toBe(0);
      expect(await rootNow()).toBe(line[4]);
    }
  });

  test("takes no older commit for the newest where a newer version wrote others", async () => {
    const line = await published(4);
    {
      await using remote = await opened();
      const bucket = await Bucket.open(remote, { blocks: remote.blocks });
      await dropKept(await newWriter(bucket, 21), [], {
        features: { incompat: ["future/1"], roCompat: [], compat: [] },
      });
    }
    const newest = await rootNow();
    await rm(rootPath());
    const before = await contents();
    const { status, told, candidates, err } = await verify("--repair");
    expect(status).toBe(8);
    expect(candidates).toMatchObject([{ commit: line[4], newest: false }]);
    expect(told).toContainEqual({ newer: newest });
    expect(err).toContain("Upgrade");
    expect(await contents()).toEqual(before);
    expect((await verify("--repair", "--root", line[4] as Cid)).status).toBe(0);
    expect(await rootNow()).toBe(line[4]);
  });

  test("takes no older commit for the newest where the root names a lost one", async () => {
    const line = await published(4);
    await rm(join(folder, commitObjectName(line[4] as Cid)));
    const before = await contents();
    const { status, candidates } = await verify("--repair");
    expect(status).toBe(8);
    expect(candidates).toMatchObject([{ commit: line[3], newest: false }]);
    expect(await contents()).toEqual(before);
    expect((await verify("--repair", "--root", line[3] as Cid)).status).toBe(0);
    expect(await rootNow()).toBe(line[3]);
  });

  test("lists several that may be the newest, and takes the chosen one", async () => {
    const line = await published(4);
    const other = await rival(line, 3);
    await rm(rootPath());
    const { status, candidates, err } = await verify("--repair");
    expect(status).toBe(8);
    expect(new Set(candidates.map(({ commit }) => commit))).toEqual(new Set([line[4], other]));
    expect(err).toContain("--root");
    expect(await rootNow()).toBeUndefined();
    expect((await verify("--repair", "--root", other)).status).toBe(0);
    expect(await rootNow()).toBe(other);
  });

  test("leaves out commits that lost their swap, unless they came after all others", async () => {
    const line = await published(6);
    const lost = await rival(line, 3);
    for (const [at, commit] of line.entries()) if (commit !== undefined) await objectTime(commit, 1_700_000_000 + at);
    await objectTime(lost, 1_700_000_004);
    await rm(rootPath());
    expect((await verify()).candidates).toMatchObject([{ commit: line[6], newest: true }]);
    // As after an older root was put back and went on.
    await objectTime(lost, 1_700_000_010);
    expect((await verify()).candidates).toMatchObject([{ commit: line[6], newest: false }, { commit: lost }]);
  });

  test("prefers what follows the root that this machine has seen", async () => {
    const line = await published(4);
    const seen = await rival(line, 3);
    const { genesis } = await Bucket.open(await opened(), { blocks: (await opened()).blocks });
    const memory = rootFile(state(), address);
    memory.replace({ genesis: genesis.cid, root: seen, seq: 4 as Lamport });
    await rm(rootPath());
    expect((await verify()).candidates).toMatchObject([{ commit: seen, follows: "yes", newest: true }]);
    memory.replace({ genesis: genesis.cid, root: genesis.cid, seq: 4 as Lamport });
    const { status, candidates } = await verify("--repair");
    expect(status).toBe(8);
    expect(candidates.map(({ follows, newest }) => [follows, newest])).toEqual([
      ["no", false],
      ["no", false],
    ]);
    expect((await verify("--accept")).candidates.map(({ follows }) => follows)).toEqual([null, null]);
  });

  test("shows the commit before one whose packs are gone", async () => {
    const line = await published(4);
    await rm(join(folder, commitObjectName(line[3] as Cid)));
    await rm(rootPath());
    const { candidates } = await verify("--repair");
    expect(candidates).toMatchObject([{ commit: line[4], newest: false, complete: false }]);
  });

  test("finds a bucket that has lost its genesis, too, and puts both back", async () => {
    const line = await published(3);
    const genesis = await readFile(join(folder, "genesis"));
    for (const name of ["root", "genesis"]) await rm(join(folder, name));
    expect((await verify("--repair")).told.at(-1)).toMatchObject({ damaged: 0 });
    expect(await rootNow()).toBe(line[3]);
    expect(Buffer.compare(await readFile(join(folder, "genesis")), genesis)).toBe(0);
  });

  test("believes no commit of a device that the owner did not certify", async () => {
    const line = await published(3);
    const before = await readFile(rootPath());
    await using remote = await opened();
    const bucket = await Bucket.open(remote, { blocks: remote.blocks });
    const { writer, ...context } = await newWriter(bucket, 9);
    const stranger = walletSigner(new Uint8Array(32).fill(9));
    const certificate = await signCertificate(writer.device, bucket.genesis.cid, NOT_AFTER, stranger);
    await dropKept({ ...context, writer: { ...writer, certificate } }, []);
    expect(await readFile(rootPath())).not.toEqual(before);
    await rm(rootPath());
    expect((await verify()).candidates).toMatchObject([{ commit: line[3], newest: true }]);
  });

  test("believes no commit of another bucket", async () => {
    const line = await published(3);
    const elsewhere = join(folder, "..", "elsewhere");
    await cp(folder, elsewhere, { recursive: true });
    await rm(folder, { recursive: true });
    const foreign = await published(9, 3);
    await cp(join(folder, "commit"), join(elsewhere, "commit"), { recursive: true });
    await rm(folder, { recursive: true });
    await cp(elsewhere, folder, { recursive: true });
    await rm(rootPath());
    expect(foreign).not.toEqual(line);
    expect((await verify()).candidates.map(({ commit }) => commit)).toEqual([line[3]]);
  });

  test("says so if no commit is left", async () => {
    await published(2);
    for (const name of ["root", "commit"]) await rm(join(folder, name), { recursive: true });
    const { status, candidates, err } = await verify("--repair");
    expect({ status, candidates }).toEqual({ status: 8, candidates: [] });
    expect(err).toContain("from a copy");
  });

  test("refuses a choice where the root can be read, and one that is no commit of the bucket", async () => {
    const line = await published(2);
    expect(await verify("--root", line[1] as Cid)).toMatchObject({ status: 2 });
    expect(await verify("--repair", "--root", line[1] as Cid)).toMatchObject({ status: 2 });
    expect(await rootNow()).toBe(line[2]);
    await rm(rootPath());
    const { genesis } = await Bucket.open(await opened(), { blocks: (await opened()).blocks });
    expect(await verify("--repair", "--root", genesis.cid)).toMatchObject({ status: 1 });
    expect(await rootNow()).toBeUndefined();
  });
});

async function contents(): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (entry.isFile()) found[path] = (await readFile(path)).toString("hex");
  }
  return found;
}
