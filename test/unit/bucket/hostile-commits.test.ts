/**
 * Commits that a device of the owner's signed, but that lie: the agent keeps what was written here, says what is wrong or goes on,
 * and `verify` names the lie.
 */
import { expect, test } from "vitest";
import { systemClock } from "../../../src/base/clock.ts";
import type { Cid, Lamport } from "../../../src/base/ids.ts";
import { verifyBucket } from "../../../src/bucket/verify.ts";
import { cidOf } from "../../../src/format/blocks/cid.ts";
import { skipSeq } from "../../../src/format/commits/commit-body.ts";
import type { CommitBody } from "../../../src/format/commits/commit-body.ts";
import { Attacker } from "../../support/attacker.ts";
import { MemoryRemote } from "../../support/memory-remote.ts";
import { SimulatedAgent } from "../../support/simulated-agent.ts";
import { createBucket, openBucket } from "../../support/test-bucket.ts";

const NOWHERE: Cid = cidOf("dag-cbor", Buffer.from("nowhere"));

interface Lie {
  readonly what: string;
  /** What it says otherwise than the commit below; `first` is an old commit. */
  readonly lie: (body: CommitBody, first: Cid | undefined) => Partial<CommitBody>;
  /** Why nothing is published any more; undefined when it goes on, as it does where it need not follow what lies. */
  readonly trouble: string | undefined;
  readonly verified: RegExp;
}

const LIES: readonly Lie[] = [
  {
    what: "a seq that skips some",
    lie: skipsSeqs,
    trouble: "format_invalid",
    verified: /this history does not have it/,
  },
  {
    what: "a skip link to nothing",
    lie: () => ({ skip: NOWHERE }),
    trouble: undefined,
    verified: /missing|this history does not have it/,
  },
  {
    what: "a skip link too far back",
    lie: (_, first) => ({ skip: first }),
    trouble: undefined,
    verified: /skip link of commit .* is not the commit at seq/,
  },
  {
    what: "a parent that is not there",
    lie: () => ({ parent: NOWHERE }),
    trouble: "root_rolled_back",
    verified: /this history does not have it/,
  },
  {
    what: "another bucket",
    lie: () => ({ genesis: NOWHERE }),
    trouble: "foreign_bucket",
    verified: /belongs to another bucket/,
  },
  { what: "a tree that is not there", lie: () => ({ tree: NOWHERE }), trouble: "block_not_found", verified: /missing/ },
  {
    what: "a tree that is a policy",
    lie: ({ policy }) => ({ tree: policy }),
    trouble: "format_invalid",
    verified: /not a tree node/,
  },
  {
    what: "a tree of retained commits",
    lie: ({ kept }) => ({ tree: kept }),
    trouble: "format_invalid",
    verified: /no root directory/,
  },
  {
    what: "retained commits that are a tree",
    lie: ({ tree }) => ({ kept: tree }),
    trouble: undefined,
    verified: /list of retained commits is malformed/,
  },
  {
    what: "totals beyond measure",
    lie: () => ({ totals: { files: 2 ** 52, directories: 0, bytes: 2 ** 52 } }),
    trouble: undefined,
    verified: /totals/,
  },
];

test.each(LIES)(
  "a forged commit with $what loses no local file, and verify names it",
  async ({ lie, trouble, verified }) => {
    const remote = new MemoryRemote();
    await createBucket(remote);
    const agent = await SimulatedAgent.start(remote, "a", 11, systemClock);
    await agent.mount.makeDirectory("d");
    await agent.flush();
    const first = (await remote.readRoot())?.commit;
    const attacker = await Attacker.start(remote, 7);
    while (!skipsFar((await attacker.head()).seq + 1)) await attacker.publish([]);
    await agent.flush();
    await agent.mount.create("d/mine", Buffer.from("mine"));
    await attacker.publish([], lie(await attacker.head(), first));
    for (let round = 0; round < 3; round++) await agent.flush();

    expect(agent.trouble?.code).toBe(trouble);
    expect((await agent.mount.show("d/mine"))?.contents.toString()).toBe("mine");
    const { damage } = await verifyBucket(await openBucket(remote), { blocks: remote.blocks });
    expect(damage.map(({ what }) => what).join("\n")).toMatch(verified);
  },
);

function skipsSeqs({ seq }: CommitBody): Partial<CommitBody> {
  let next = seq + 2;
  while (!skipsFar(next)) next++;
  return { seq: next as Lamport };
}

/** Whether a commit at this height has a skip link that is not its parent. */
function skipsFar(seq: number): boolean {
  const skip = skipSeq(seq as Lamport);
  return skip > 0 && skip < seq - 1;
}
