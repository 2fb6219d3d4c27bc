/** What a master accepts as the next root, and what it says to everything else. */
import { describe, expect, test } from "vitest";
import { SynclineError } from "../../../../src/base/errors.ts";
import type { Cid, Lamport } from "../../../../src/base/ids.ts";
import type { Block } from "../../../../src/blocks/block-store.ts";
import { walletSigner } from "../../../../src/crypto/wallet.ts";
import { codecOf } from "../../../../src/format/blocks/cid.ts";
import { decodeCbor, encodeCbor } from "../../../../src/format/blocks/dag-cbor.ts";
import type { CborValue } from "../../../../src/format/blocks/dag-cbor.ts";
import { LOST_ANCESTOR } from "../../../../src/format/commits/commit-body.ts";
import type { Refusal } from "../../../../src/master/http/refusal.ts";
import { SwapCheck } from "../../../../src/master/roots/swap-check.ts";
import { blockOf, certify, CommitChain, nodeBlock } from "../../../support/commit-chain.ts";
import type { MadeCommit } from "../../../support/commit-chain.ts";
import { ManualClock } from "../../../support/manual-clock.ts";
import { MemoryOwnerBlocks } from "../../../support/memory-owner-blocks.ts";

const NOW = 1_700_000_000;
const STRANGER = walletSigner(new Uint8Array(32).fill(9));

describe("a swap is accepted", () => {
  test("for a bucket's first commit, and for each that follows", async () => {
    const { chain, check } = await world();
    const history: MadeCommit[] = [];
    for (let seq = 1; seq <= 20; seq++) {
      const next = chain.make(`state ${seq}`, history.at(-1));
      expect(await check(next)).toBeUndefined();
      history.push(next);
    }
  });

  test("from each device that the owner certified", async () => {
    const { chain, check } = await world();
    const first = chain.make("a", undefined);
    await check(first);
    const other = await certify(2, chain.genesis.cid, chain.owner);
    expect(await check(chain.make("b", first, {}, other))).toBeUndefined();
  });

  test("while the certificate is valid, and not a second longer", async () => {
    const { chain, check } = await world();
    const first = chain.make("a", undefined);
    await check(first);
    const [last, over] = await Promise.all(
      [NOW + 1, NOW].map((notAfter) => certify(2, chain.genesis.cid, chain.owner, notAfter)),
    );
    expect(await check(chain.make("b", first, {}, over))).toMatchObject({ code: "device_not_certified", status: 403 });
    expect(await check(chain.make("b", first, {}, last))).toBeUndefined();
  });

  test("even if commits on its skip path were pruned", async () => {
    const { chain, check, blocks } = await world();
    const forgetful = nodeBlock("nothing is kept");
    await blocks.put([forgetful]);
    const history: MadeCommit[] = [];
    for (let seq = 1; seq <= 7; seq++) {
      const next = chain.make(`state ${seq}`, history.at(-1), { kept: forgetful.cid });
      await check(next);
      history.push(next);
    }
    for (const { commit } of history.slice(0, 6)) blocks.remove(commit.cid);
    expect(await check(chain.make("state 8", history[6], { kept: forgetful.cid }))).toBeUndefined();
  });
});

describe("a swap is refused", () => {
  test("when a block that the root reaches is missing, and names that block", async () => {
    const { chain, check, blocks } = await world();
    const first = chain.make("a", undefined);
    for (const block of first.blocks) {
      await blocks.put(first.blocks);
      blocks.remove(block.cid);
      const refusal = await check(first, { put: false });
      expect(refusal).toMatchObject({ code: "missing_blocks", status: 409, details: { missing: [block.cid] } });
    }
  });

  test("when only another owner has the blocks", async () => {
    const { chain, check } = await world();
    const first = chain.make("a", undefined);
    const others = new MemoryOwnerBlocks();
    await others.put(first.blocks);
    expect(await check(first, { put: false })).toMatchObject({
      code: "missing_blocks",
      details: { missing: [first.commit.cid] },
    });
  });

  test("for an older root, and for the current root again", async () => {
    const { chain, check, stand } = await world();
    const first = chain.make("a", undefined);
    const second = chain.make("b", first);
    await check(first);
    await check(second);
    expect(await check(first)).toMatchObject({ code: "not_descendant", status: 409 });
    expect(await check(second)).toMatchObject({ code: "not_descendant" });
    stand(undefined);
    expect(await check(second)).toMatchObject({ code: "not_descendant" });
  });

  test("for a commit that does not descend from the current root", async () => {
    const { chain, check } = await world();
    const first = chain.make("a", undefined);
    await check(first);
    await check(chain.make("b", first));
    expect(await check(chain.make("c", first))).toMatchObject({ code: "not_descendant" });
  });

  test("when it skips or repeats a seq", async () => {
    const { chain, check } = await world();
    const first = chain.make("a", undefined);
    const second = chain.make("b", first);
    await check(first);
    await check(second);
    for (const seq of [2, 4] as Lamport[]) {
      const wrong = chain.make("c", second, { seq, skip: undefined });
      expect(await check(wrong)).toMatchObject({ code: "bad_seq", status: 409 });
    }
  });

  test("when its skip points to the wrong ancestor", async () => {
    const { chain, check } = await world();
    const history: MadeCommit[] = [];
    for (let seq = 1; seq <= 5; seq++) {
      history.push(chain.make(`state ${seq}`, history.at(-1)));
      await check(history.at(-1) as MadeCommit);
    }
    const [wrong, right] = [history[4], history[3]].map((made) =>
      chain.make("6", history[4], { skip: made?.commit.cid }),
    );
    expect(await check(wrong as MadeCommit)).toMatchObject({ code: "not_descendant" });
    expect(await check(right as MadeCommit)).toBeUndefined();
  });

  test("when its skip says that the ancestor is lost, as long as the master finds it", async () => {
    const { chain, check, blocks } = await world();
    const history: MadeCommit[] = [];
    for (let seq = 1; seq <= 11; seq++) {
      history.push(chain.make(`state ${seq}`, history.at(-1)));
      await check(history.at(-1) as MadeCommit);
    }
    const unsure = chain.make("12", history[10], { skip: LOST_ANCESTOR });
    expect(await check(unsure)).toMatchObject({ code: "not_descendant" });
    blocks.remove(history[9]?.commit.cid as Cid);
    // Nor does a retained commit link it.
    const kept = nodeBlock("none");
    await blocks.put([kept]);
    expect(await check(chain.make("12", history[10], { skip: LOST_ANCESTOR, kept: kept.cid }))).toBeUndefined();
  });

  test("for a commit of another bucket of the same owner", async () => {
    const { chain, check } = await world();
    const first = chain.make("a", undefined);
    await check(first);
    const other = await CommitChain.create(5);
    expect(await check(other.make("b", first))).toMatchObject({ code: "foreign_genesis", status: 409 });
  });

  test("when a bucket is created with a genesis of another owner", async () => {
    const { check } = await world();
    const foreign = await CommitChain.create(1, 9);
    expect(await check(foreign.make("a", undefined))).toMatchObject({ code: "foreign_genesis" });
  });

  test("when a bucket is created with a genesis that its owner did not sign", async () => {
    const { chain, check } = await world();
    const foreign = await CommitChain.create(1, 9);
    const [body] = decodeCbor(chain.genesis.bytes) as readonly CborValue[];
    const [, signature] = decodeCbor(foreign.genesis.bytes) as readonly CborValue[];
    const forged = blockOf("dag-cbor", encodeCbor([body ?? null, signature ?? null]));
    const signer = await certify(1, forged.cid, chain.owner);
    const first = chain.make("a", undefined, { genesis: forged.cid }, signer);
    expect(await check({ ...first, blocks: [...first.blocks, forged] })).toMatchObject({
      code: "bad_signature",
      status: 403,
    });
  });

  test("from a device that a stranger certified, or that is certified for another bucket", async () => {
    const { chain, check } = await world();
    const first = chain.make("a", undefined);
    await check(first);
    const strange = await certify(2, chain.genesis.cid, STRANGER);
    expect(await check(chain.make("b", first, {}, strange))).toMatchObject({
      code: "device_not_certified",
      status: 403,
    });
    const elsewhere = await certify(2, (await CommitChain.create(5)).genesis.cid, chain.owner);
    expect(await check(chain.make("b", first, {}, elsewhere))).toMatchObject({ code: "device_not_certified" });
  });

  test("when a stranger forged the certificate in the owner's name", async () => {
    const { chain, check } = await world();
    const strange = await certify(2, chain.genesis.cid, STRANGER);
    const [version, map, signature] = decodeCbor(strange.certificate.bytes) as readonly CborValue[];
    const [, own] = decodeCbor(chain.signer.certificate.bytes) as readonly CborValue[];
    const body = {
      ...(map as Record<string, CborValue>),
      wallet: (own as Record<string, CborValue>)["wallet"] ?? null,
    };
    const forged = blockOf("dag-cbor", encodeCbor([version ?? null, body, signature ?? null]));
    const signer = { device: strange.device, certificate: { ...strange.certificate, cid: forged.cid } };
    const first = chain.make("a", undefined, {}, signer);
    expect(await check({ ...first, blocks: [...first.blocks, forged] })).toMatchObject({
      code: "device_not_certified",
    });
  });

  test("when the signature is forged or from another device", async () => {
    const { chain, check } = await world();
    const made = chain.make("a", undefined);
    const other = await certify(2, chain.genesis.cid, chain.owner);
    const forgeries = [
      resigned(made, (signature) => signature.with(3, (signature[3] ?? 0) ^ 1)),
      resigned(made, () => other.device.sign(made.commit.message)),
    ];
    for (const forged of forgeries) expect(await check(forged)).toMatchObject({ code: "bad_signature", status: 403 });
  });

  test("when the block is not a commit", async () => {
    const { check } = await world();
    const raw = blockOf("raw", Buffer.from("text"));
    const malformed = [
      [raw, "format_invalid"],
      [blockOf("dag-cbor", Buffer.from("text")), "format_invalid"],
      [blockOf("dag-cbor", encodeCbor([1, 2, 3, 4])), "format_invalid"],
      [blockOf("dag-cbor", encodeCbor([2, 2, 3, 4])), "feature_unknown"],
      [blockOf("dag-cbor", encodeCbor("x".repeat(70_000))), "format_invalid"],
    ] as const;
    for (const [block, code] of malformed) {
      expect(await check({ commit: block, blocks: [block] })).toMatchObject({ code, status: 400 });
    }
  });

  test("when a block that the root reaches is not dag-cbor, and names that block", async () => {
    const { chain, check } = await world();
    const broken = blockOf("dag-cbor", Buffer.from([0xff, 0x00]));
    const first = chain.make("a", undefined, { tree: broken.cid });
    expect(await check({ ...first, blocks: [...first.blocks, broken] })).toMatchObject({
      code: "format_invalid",
      details: { cid: broken.cid },
    });
  });
});

test("a lost current root is named, and the swap succeeds once it is sent", async () => {
  const { chain, check, blocks } = await world();
  const first = chain.make("a", undefined);
  const second = chain.make("b", first);
  await check(first);
  await blocks.put(second.blocks);
  blocks.remove(first.commit.cid);
  const lost = { code: "missing_blocks", status: 409, details: { missing: [first.commit.cid] } };
  expect(await check(second, { put: false })).toMatchObject(lost);
  await blocks.put([first.commit]);
  expect(await check(second, { put: false })).toBeUndefined();
});

test("a damaged block counts as missing, wherever the check finds it", async () => {
  const { chain, blocks } = await world();
  const first = chain.make("a", undefined);
  await blocks.put(first.blocks);
  const nodes = first.blocks.filter(({ cid }) => codecOf(cid) === "dag-cbor");
  expect(nodes.length).toBe(6);
  for (const { cid } of nodes) {
    const damaged = Object.assign(Object.create(blocks) as MemoryOwnerBlocks, {
      get: async (asked: Cid) => {
        if (asked === cid) throw new SynclineError("block_corrupt", "Rot.");
        return blocks.get(asked);
      },
      has: (cids: readonly Cid[]) => blocks.has(cids),
      size: (asked: Cid) => blocks.size(asked),
      complete: async () => new Set(),
      markComplete: async () => {},
    });
    const candidate = {
      era: 0,
      owner: chain.owner.wallet,
      blocks: damaged,
      current: undefined,
      next: first.commit.cid,
    };
    const refusal = await new SwapCheck(new ManualClock(), true).refusalOf(candidate);
    expect(refusal).toMatchObject({ code: "missing_blocks", details: { missing: [cid] } });
  }
});

test("without comparing, a commit that does not descend from the current root is accepted", async () => {
  const { chain, check } = await world({ linear: false });
  const first = chain.make("a", undefined);
  await check(first);
  expect(await check(chain.make("b", first))).toBeUndefined();
  expect(await check(chain.make("c", first))).toBeUndefined();
});

type Proposal = { readonly commit: { readonly cid: Cid }; readonly blocks: readonly Block[] };

/** An owner's blocks, a bucket whose root moves to whatever is accepted, and the check. */
async function world({ linear = true } = {}) {
  const chain = await CommitChain.create();
  const blocks = new MemoryOwnerBlocks();
  const swaps = new SwapCheck(new ManualClock(), linear);
  let current: Cid | undefined;
  const check = async (proposal: Proposal, { put = true } = {}): Promise<Refusal | undefined> => {
    if (put) await blocks.put(proposal.blocks);
    const { cid: next } = proposal.commit;
    const refusal = await swaps.refusalOf({ owner: chain.owner.wallet, blocks, era: 0, current, next });
    if (refusal === undefined) current = next;
    return refusal;
  };
  const stand = (root: Cid | undefined) => void (current = root);
  return { chain, blocks, check, stand };
}

function resigned(made: MadeCommit, change: (signature: Uint8Array) => Uint8Array): Proposal {
  const [version, body, certificate, signature] = decodeCbor(made.commit.bytes) as readonly CborValue[];
  const forged = encodeCbor([version ?? null, body ?? null, certificate ?? null, change(signature as Uint8Array)]);
  const block = blockOf("dag-cbor", forged);
  return { commit: block, blocks: [...made.blocks, block] };
}
