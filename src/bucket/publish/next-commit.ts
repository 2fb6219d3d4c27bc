/** Makes the commit that follows a root: everything that it inherits, derives and records (format.md, Commit). */
import type { Cid, Lamport } from "../../base/ids.ts";
import type { BlockSink } from "../../blocks/block-store.ts";
import type { DeviceKey } from "../../crypto/device-key.ts";
import type { Certificate } from "../../format/certificate.ts";
import { cidOf } from "../../format/cid.ts";
import { signCommit } from "../../format/commit.ts";
import type { Commit } from "../../format/commit.ts";
import { APPROVAL_FEATURE, MACHINE_FEATURE, mayWrite, withCompat } from "../../format/features.ts";
import { encodePolicy } from "../../format/policy.ts";
import type { Policy } from "../../format/policy.ts";
import { headsField } from "../../format/heads.ts";
import { SynclineError } from "../../base/errors.ts";
import { editTree } from "../../tree/edit.ts";
import type { NodeStore } from "../../tree/node-store.ts";
import type { Bucket } from "../bucket.ts";
import type { VerifiedCommit } from "../verified-commit.ts";
import { keptKey, skipOf } from "../history.ts";
import { totalsAfter } from "../totals.ts";

/** Who writes: a device and the owner's word that it may. */
export interface Writer {
  readonly device: DeviceKey;
  readonly certificate: Certificate;
  /** The machine's name for its commits; absent: they name none. */
  readonly machine?: string | undefined;
}

/** Made again on each root that the commit may follow. */
export type PolicyChange = (policy: Policy) => Policy;

export interface NextCommit {
  readonly tree: Cid;
  readonly epoch: number;
  readonly timeNs: bigint;
  readonly note: string;
  /** Whether a person approved the deletions in it (merge.md, Laws: the mass-delete guard). */
  readonly approved?: boolean;
  /** Maintenance only: seqs of commits that `kept` lets go of, ascending. */
  readonly thinned?: readonly Lamport[];
  /** Absent: the parent's. Its block is in the sink, or stored. */
  readonly policy?: Cid | undefined;
}

/** A commit as bytes to be stored, and as it will be read again. */
export interface NewCommit {
  readonly commit: Commit;
  readonly verified: VerifiedCommit;
}

/**
 * The commit on top of `parent`. New blocks of its own (heads, kept, certificate) go to `sink`. `kept` retains what the parent
 * retains, and the parent. Throws `feature_unknown` when the bucket may only be read.
 */
export async function makeCommit(
  bucket: Bucket,
  nodes: NodeStore,
  sink: BlockSink,
  parent: VerifiedCommit,
  writer: Writer,
  next: NextCommit,
): Promise<NewCommit> {
  const { body } = parent;
  if (!mayWrite(body.features)) {
    throw new SynclineError("feature_unknown", "The bucket uses features with which this version may only read it.", {
      hint: "A newer syncline wrote it: upgrade to write.",
    });
  }
  const { device, certificate, machine } = writer;
  await sink.put({ cid: certificate.cid, bytes: certificate.bytes });
  const link = (bytes: Uint8Array) => {
    const cid = cidOf("dag-cbor", bytes);
    // Staging takes such blocks before it returns: there is nothing to wait for, and nothing to fail.
    void sink.put({ cid, bytes });
    return cid;
  };
  const gone = (next.thinned ?? []).map((seq) => ({ key: keptKey(seq), value: undefined, links: [] }));
  const row = { key: keptKey(body.seq), value: new Uint8Array(), links: [parent.cid] };
  const heads = new Map([...parent.heads, [device.writer, next.epoch] as const]);
  const seq = (body.seq + 1) as Lamport;
  const used = [
    ...(next.approved === true ? [APPROVAL_FEATURE] : []),
    ...(machine === undefined ? [] : [MACHINE_FEATURE]),
  ];
  const commit = signCommit(
    {
      ...body,
      ...(next.approved === true && { approved: seq }),
      tree: next.tree,
      policy: next.policy ?? body.policy,
      parent: parent.cid,
      skip: await skipOf(bucket, parent),
      seq,
      writer: device.writer,
      epoch: next.epoch,
      heads: headsField(heads, link),
      kept: await editTree(nodes, sink, bucket.treeConfig, body.kept, [...gone, row]),
      totals: await totalsAfter(nodes, body.tree, body.totals, next.tree),
      timeNs: next.timeNs,
      note: next.note,
      machine,
      features: used.reduce(withCompat, body.features),
    },
    certificate.cid,
    device,
  );
  return { commit, verified: { cid: commit.cid, body: commit.body, certificate: certificate.cid, heads } };
}

/** The policy of a commit on this root, with its block in the sink; without a change it is the root's. */
export async function policyAfter(
  bucket: Bucket,
  root: VerifiedCommit,
  change: PolicyChange | undefined,
  sink: BlockSink,
): Promise<Cid> {
  if (change === undefined) return root.body.policy;
  const bytes = encodePolicy(change(await bucket.policy(root)));
  const cid = cidOf("dag-cbor", bytes);
  await sink.put({ cid, bytes });
  return cid;
}

/** The blocks that a commit links, in the order in which they are to be stored. */
export function commitRoots(commit: Commit): Cid[] {
  const { body, certificate } = commit;
  const heads = "linked" in body.heads ? [body.heads.linked] : [];
  return [body.tree, body.policy, body.kept, ...heads, certificate];
}
