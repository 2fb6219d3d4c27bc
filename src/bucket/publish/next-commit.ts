/** Makes the commit that follows a root: everything inherited, derived and recorded (docs/reference/formats.md, Commit). */
import type { Cid, Lamport } from "../../base/ids.ts";
import type { BlockSink } from "../../blocks/block-store.ts";
import type { DeviceKey } from "../../crypto/device-key.ts";
import type { Certificate } from "../../format/commits/certificate.ts";
import { type Commit, signCommit } from "../../format/commits/commit.ts";
import {
  APPROVAL_FEATURE,
  type Features,
  HEADS_TREE_FEATURE,
  MACHINE_FEATURE,
  mayWrite,
  RECOVERY_FEATURE,
  RETENTION_FEATURE,
  withCompat,
  withFeature,
} from "../../format/commits/features.ts";
import { encodePolicy, type Policy } from "../../format/commits/policy.ts";
import {
  DEFAULT_RETENTION,
  isSameRetention,
  type Retention,
  retainsMore,
  retentionOf,
} from "../../format/commits/retention.ts";
import { MAX_RECOVERED } from "../../format/commits/commit-body.ts";
import { isHeadsTree, linkedHeads } from "../../format/commits/heads.ts";
import { SynclineError } from "../../base/errors.ts";
import { blockOf } from "../../blocks/block-codec.ts";
import { editTree } from "../../tree/edit.ts";
import type { NodeStore } from "../../tree/node-store.ts";
import type { Bucket } from "../bucket.ts";
import type { VerifiedCommit } from "../verified-commit.ts";
import { keptKey, skipAsKnown } from "../history.ts";
import { totalsAfter } from "../totals.ts";

/** The author of commits: a device and the owner's certificate for it. */
export interface Writer {
  readonly device: DeviceKey;
  readonly certificate: Certificate;
  /** The machine's name for its commits; absent: they carry none. */
  readonly machine?: string | undefined;
}

/** Called again for each root that the commit may follow. */
export type PolicyChange = (policy: Policy) => Policy;

/** A commit's statements about its policy. */
export interface NextPolicy {
  /** The block is in the sink, or stored. */
  readonly policy: Cid;
  readonly features: Features;
  readonly retention: Retention | undefined;
}

export interface NextCommit {
  readonly tree: Cid;
  readonly epoch: number;
  readonly timeNs: bigint;
  readonly note: string;
  /** Whether a person approved the deletions in it (docs/design/folder-sync.md, The deletion limit). */
  readonly approved?: boolean;
  /** Maintenance only: seqs of commits that `kept` drops, ascending. */
  readonly thinned?: readonly Lamport[];
  /** A root that the bucket had lost, whose tree was merged into this one. */
  readonly recovered?: VerifiedCommit | undefined;
  /** Absent: the parent's. */
  readonly policy?: NextPolicy | undefined;
}

/** A commit as bytes to store, and as it will be decoded. */
export interface NewCommit {
  readonly commit: Commit;
  readonly verified: VerifiedCommit;
}

/**
 * The commit on top of `parent`. New blocks of its own (heads, kept, certificate) go to `sink`. `kept` retains the parent
 * and what the parent retains. Throws `feature_unknown` when the bucket may only be read.
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
    throw new SynclineError("feature_unknown", "The bucket uses features that this version can only read.", {
      hint: "A newer syncline wrote it. Upgrade to write.",
    });
  }
  const { device, certificate, machine } = writer;
  await sink.put({ cid: certificate.cid, bytes: certificate.bytes });
  const gone = (next.thinned ?? []).map((seq) => ({ key: keptKey(seq), value: undefined, links: [] }));
  const row = { key: keptKey(body.seq), value: new Uint8Array(), links: [parent.cid] };
  const heads = await bucket.heads.with(body, device.writer, next.epoch, {
    nodes,
    sink,
    treeConfig: bucket.treeConfig,
  });
  const seq = (body.seq + 1) as Lamport;
  const { policy = policyOf(parent) } = next;
  const used = [
    ...(next.approved === true ? [APPROVAL_FEATURE] : []),
    ...(machine === undefined ? [] : [MACHINE_FEATURE]),
    ...(next.recovered === undefined ? [] : [RECOVERY_FEATURE]),
  ];
  const features = used.reduce(withCompat, policy.features);
  const commit = signCommit(
    {
      ...body,
      ...policy,
      ...(next.approved === true && { approved: seq }),
      ...(next.recovered && { recovered: [...(body.recovered ?? []), next.recovered.cid].slice(-MAX_RECOVERED) }),
      tree: next.tree,
      parent: parent.cid,
      skip: await skipAsKnown(bucket, nodes, parent),
      seq,
      writer: device.writer,
      epoch: next.epoch,
      heads,
      kept: await editTree(nodes, sink, bucket.treeConfig, body.kept, [...gone, row]),
      totals: await totalsAfter(nodes, body.tree, body.totals, next.tree),
      timeNs: next.timeNs,
      note: next.note,
      machine,
      features: isHeadsTree(heads) ? withFeature(features, HEADS_TREE_FEATURE, "incompat") : features,
    },
    certificate.cid,
    device,
  );
  return { commit, verified: { cid: commit.cid, body: commit.body, certificate: certificate.cid } };
}

/**
 * The policy of a commit on this root, with its block in the sink; without a change, the root's. If it retains more than a
 * version without retention support would, such a version may only read: it would thin history out.
 */
export async function policyAfter(
  bucket: Bucket,
  root: VerifiedCommit,
  change: PolicyChange | undefined,
  sink: BlockSink,
): Promise<NextPolicy> {
  const now = policyOf(root);
  if (change === undefined) return now;
  const changed = change(await bucket.policy(root));
  const block = blockOf("dag-cbor", encodePolicy(changed));
  await sink.put(block);
  const retention = retentionOf(changed);
  const isDefault = isSameRetention(retention, DEFAULT_RETENTION);
  const feature = isDefault ? undefined : retainsMore(retention, DEFAULT_RETENTION) ? "roCompat" : "compat";
  const features = withFeature(now.features, RETENTION_FEATURE, feature);
  return { policy: block.cid, features, retention: isDefault ? undefined : retention };
}

/** Whether a commit with this policy would state the same about it as this one. */
export function hasPolicy({ body }: VerifiedCommit, { policy, retention }: NextPolicy): boolean {
  return body.policy === policy && isSameRetention(retentionOf(body), retentionOf({ retention }));
}

function policyOf({ body: { policy, features, retention } }: VerifiedCommit): NextPolicy {
  return { policy, features, retention };
}

/** The blocks that a commit links, in storage order. */
export function commitRoots(commit: Commit): Cid[] {
  const { body, certificate } = commit;
  return [body.tree, body.policy, body.kept, ...linkedHeads(body.heads), certificate];
}
