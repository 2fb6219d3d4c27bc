/** History whose old commits are lost or damaged: publishing goes on, and nobody is led astray. */
import { describe, expect, test } from "vitest";
import type { Cid, Lamport } from "../../../src/base/ids.ts";
import { blockNotFound } from "../../../src/blocks/not-found.ts";
import { VerifiedReader } from "../../../src/blocks/verified-reader.ts";
import { Bucket } from "../../../src/bucket/bucket.ts";
import { ancestorAt, descends } from "../../../src/bucket/history.ts";
import type { VerifiedCommit } from "../../../src/bucket/verified-commit.ts";
import { verifyBucket } from "../../../src/bucket/verify.ts";
import { decodeCommit } from "../../../src/format/commits/commit.ts";
import { LOST_ANCESTOR } from "../../../src/format/commits/commit-body.ts";
import { MemoryRemote } from "../../support/memory-remote.ts";
import { createBucket, newWriter } from "../../support/test-bucket.ts";
import { dropKept } from "../../support/thinning.ts";

/** The commit at NEXT skips to the one at TARGET. It looks for it by the one before itself and the one at LOST. */
const [TARGET, LOST, NEXT] = [8, 10, 12];

class History {
  readonly remote = new MemoryRemote();
  /** By seq. */
  readonly line: Cid[] = [];

  /** Publishes up to a seq. Each commit retains all before it but these; the one at TARGET is another device's. */
  async publish(to: number, thinned: (head: number) => readonly number[] = () => []): Promise<void> {
    if (this.line.length === 0) await createBucket(this.remote);
    for (;;) {
      // Opened anew: a bucket remembers commits.
      const bucket = await this.opened();
      const { commit } = await bucket.head();
      this.line[commit.body.seq] = commit.cid;
      if (commit.body.seq === to) return;
      const writer = await newWriter(bucket, commit.body.seq + 1 === TARGET ? 3 : 2);
      await dropKept(writer, thinned(commit.body.seq) as Lamport[]);
    }
  }

  opened(): Promise<Bucket> {
    return Bucket.open(this.remote, { blocks: new VerifiedReader(this.remote.blocks) });
  }

  at(seq: number): Cid {
    const cid = this.line[seq];
    if (cid === undefined) throw new Error(`nothing was published at seq ${seq}`);
    return cid;
  }

  body(seq: number) {
    return decodeCommit(this.remote.blocks.held.get(this.at(seq)) ?? new Uint8Array()).body;
  }

  harm(seq: number, how: "lost" | "damaged"): void {
    const { held } = this.remote.blocks;
    const bytes = held.get(this.at(seq)) ?? new Uint8Array();
    if (how === "lost") held.delete(this.at(seq));
    else held.set(this.at(seq), bytes.with(bytes.length - 10, (bytes.at(-10) ?? 0) ^ 1));
  }
}

describe.each(["lost", "damaged"] as const)("behind a %s commit on the way to an ancestor", (how) => {
  test("a commit skips to the ancestor if it is retained", async () => {
    const history = new History();
    await history.publish(NEXT - 1);
    history.harm(LOST, how);
    await history.publish(NEXT);
    expect(history.body(NEXT).skip).toBe(history.at(TARGET));
  });

  test("a commit skips to the ancestor if a retained one leads there", async () => {
    const history = new History();
    await history.publish(NEXT - 1, (head) => (head === NEXT - 2 ? [TARGET] : []));
    history.harm(LOST, how);
    await history.publish(NEXT);
    expect(history.body(NEXT).skip).toBe(history.at(TARGET));
  });

  test("publishing goes on where nothing tells the ancestor, and whether a root descends from it is unknown", async () => {
    const history = new History();
    await history.publish(47, (head) => (head === 42 ? Array.from({ length: 41 }, (_, index) => index + 1) : []));
    for (const seq of [40, 41, 42]) history.harm(seq, how);
    expect(history.body(44).skip).toBe(history.at(40));
    await history.publish(48);
    expect(history.body(48).skip).toBe(LOST_ANCESTOR);

    await history.publish(70);
    const bucket = await history.opened();
    const { commit } = await bucket.head();
    expect(await descends(bucket, commit, { cid: history.at(32), seq: 32 as Lamport })).toBe("unknown");
    expect(await descends(bucket, commit, { cid: history.at(60), seq: 60 as Lamport })).toBe("yes");
    const parted = await bucket.commit(history.at(48));
    await expect(ancestorAt(bucket, parted, 32 as Lamport)).rejects.toMatchObject({ code: "block_not_found" });
  });
});

describe("verifying old history", () => {
  /** A bucket that retains nothing before seq 10, which leads on to 8. */
  async function thinnedOut() {
    const history = new History();
    await history.publish(11, (head) => (head === 10 ? [1, 2, 3, 4, 5, 6, 7, 8, 9] : []));
    const faults = async () => {
      const { damage, lost } = await verifyBucket(await history.opened(), { blocks: history.remote.blocks });
      return { lost, what: damage.map(({ what }) => what).join("\n") };
    };
    expect(await faults()).toEqual({ lost: [], what: "" });
    return { history, faults };
  }

  test.each(["lost", "damaged"] as const)("names a %s commit that only skip links lead to", async (how) => {
    const { history, faults } = await thinnedOut();
    history.harm(TARGET, how);
    expect(await faults()).toEqual({
      lost: [history.at(TARGET)],
      what: expect.stringMatching(/(is missing or cannot be read|does not match its hash)\. Only old history needs it/),
    });
  });

  test("names a lost certificate that only such a commit has", async () => {
    const { history, faults } = await thinnedOut();
    const bytes = history.remote.blocks.held.get(history.at(TARGET)) ?? new Uint8Array();
    const { certificate } = decodeCommit(bytes);
    history.remote.blocks.held.delete(certificate);
    expect((await faults()).lost).toContain(certificate);
  });

  test("finds nothing wrong once the history is told again without the lost commit", async () => {
    const { history, faults } = await thinnedOut();
    history.harm(TARGET, "lost");
    await history.publish(16);
    expect(await faults()).toEqual({ lost: [], what: "" });
  });
});

test("lost roots that name each other's in many ways are read once each", async () => {
  const [depth, wide] = [6, 16];
  const reads: string[] = [];
  const lost = (level: number, at: number) => `${level}-${at}` as Cid;
  const made = (cid: Cid): VerifiedCommit => {
    const level = Number.parseInt(cid, 10);
    const recovered = Array.from({ length: level < depth ? wide : 0 }, (_, at) => lost(level + 1, at));
    return { cid, body: { seq: 1, parent: undefined, skip: undefined, recovered } } as unknown as VerifiedCommit;
  };
  const commits = {
    commit: async (cid: Cid) => {
      reads.push(cid);
      return made(cid);
    },
  };
  const stranger = { cid: "stranger" as Cid, seq: 5 as Lamport };
  expect(await descends(commits, made(lost(0, 0)), stranger)).toBe("no");
  expect(reads).toHaveLength(depth * wide);
  const deepest = { cid: lost(depth, wide - 1), seq: 5 as Lamport };
  expect(await descends(commits, made(lost(0, 0)), deepest)).toBe("yes");
});

test("thinned commits of a lost root do not look like a bucket that was set back", async () => {
  const commits = {
    commit: async (cid: Cid) => {
      if (cid !== "lost") throw blockNotFound(cid);
      return { cid, body: { seq: 12, parent: "11", skip: "8" } } as unknown as VerifiedCommit;
    },
  };
  const newest = (recovered: string) =>
    ({
      cid: "newest",
      body: { seq: 9, parent: "b8", skip: "b8", recovered: [recovered] },
    }) as unknown as VerifiedCommit;
  const at = (cid: string, seq: number) => ({ cid: cid as Cid, seq: seq as Lamport });
  expect(await descends(commits, newest("lost"), at("8", 8))).toBe("yes");
  // Only the commit at 11 would tell, which is gone.
  expect(await descends(commits, newest("lost"), at("10", 10))).toBe("unknown");
  expect(await descends(commits, newest("lost"), at("13", 13))).toBe("no");
  expect(await descends(commits, newest("gone"), at("10", 10))).toBe("no");
});
