/** A commit's body: its fields, and their dag-cbor map, hashed and signed (docs/reference/formats.md, Commit). */
import type { Cid, Lamport, WriterId } from "../../base/ids.ts";
import { HASH_BYTES } from "../../crypto/hash.ts";
import { MAX_MACHINE_BYTES, MAX_NOTE_BYTES } from "../../base/limits.ts";
import { asBigInt, asBytes, asCount, asLink, asList, asMap, asText, asWeakLink, misfit } from "../blocks/cbor-shape.ts";
import { cidFromDigest, cidToBytes } from "../blocks/cid.ts";
import { type CborMap, type CborValue, Link } from "../blocks/dag-cbor.ts";
import type { Features } from "./features.ts";
import {
  APPROVAL_FEATURE,
  featuresFromCbor,
  featuresToCbor,
  hasFeature,
  hasUnknownFeatures,
  HEADS_TREE_FEATURE,
  MACHINE_FEATURE,
  RECOVERY_FEATURE,
  RETENTION_FEATURE,
} from "./features.ts";
import { type HeadsField, headsFieldFromCbor, headsFieldToCbor } from "./heads.ts";
import { type Retention, retentionFromCbor, retentionToCbor } from "./retention.ts";

export interface CommitBody {
  readonly genesis: Cid;
  /** Root node of the filesystem tree. */
  readonly tree: Cid;
  readonly policy: Cid;
  /** The replaced root; undefined for the first commit. Weak: may be pruned. */
  readonly parent: Cid | undefined;
  /** The ancestor at `skipSeq(seq)`, or LOST_ANCESTOR; undefined if that is 0. Weak. */
  readonly skip: Cid | undefined;
  /** 1 for the first commit, else the parent's plus 1. The bucket's Lamport counter. */
  readonly seq: Lamport;
  readonly writer: WriterId;
  /** The writer's epoch that this commit publishes; maintenance commits keep it. */
  readonly epoch: number;
  readonly heads: HeadsField;
  /** Root node of the tree of kept commits: seq as 8 bytes, big-endian → a link. */
  readonly kept: Cid;
  readonly totals: Totals;
  readonly features: Features;
  /** Undefined: the owner's devices only. */
  readonly acl: Cid | undefined;
  /** Nanoseconds since 1970 by the writer's clock. Informational. */
  readonly timeNs: bigint;
  readonly note: string;
  /** The self-chosen name of the machine that made it. Needs the feature `machine/1`. */
  readonly machine: string | undefined;
  /**
   * The newest commit up to this one whose deletions a person approved: this one if equal to its own seq. Inherited from
   * the parent, even by versions that do not know it. Needs the feature `approval/1`.
   */
  readonly approved?: Lamport | undefined;
  /** How long history is retained. Absent: the default. Needs the feature `retention/1`. */
  readonly retention?: Retention | undefined;
  /**
   * Roots that the bucket had lost, oldest first: all that they held was merged in again, so this commit follows them.
   * Inherited from the parent. Weak. Needs the feature `recovery/1`.
   */
  readonly recovered?: readonly Cid[] | undefined;
  /** Fields of later versions, present only if `features` names an unknown feature. */
  readonly unknown: CborMap;
}

/** Counts in the tree: files of all types except directories, directories except the root, bytes of files. */
export interface Totals {
  readonly files: number;
  readonly directories: number;
  readonly bytes: number;
}

/** seq with its lowest set bit cleared: the target of `skip`. 0: none. */
export function skipSeq(seq: Lamport): Lamport {
  const number = BigInt(seq);
  return Number(number & (number - 1n)) as Lamport;
}

/** The `skip` of a commit whose writer could not tell the address, since commits on the way were lost: a digest of zeros. */
export const LOST_ANCESTOR: Cid = cidFromDigest("dag-cbor", new Uint8Array(HASH_BYTES));

export function bodyToCbor(body: CommitBody): CborMap {
  const map: CborMap = {
    genesis: new Link(body.genesis),
    tree: new Link(body.tree),
    policy: new Link(body.policy),
    parent: weakLink(body.parent),
    skip: weakLink(body.skip),
    seq: body.seq,
    writer: Buffer.from(body.writer, "hex"),
    epoch: body.epoch,
    heads: headsFieldToCbor(body.heads),
    kept: new Link(body.kept),
    totals: { files: body.totals.files, directories: body.totals.directories, bytes: body.totals.bytes },
    features: featuresToCbor(body.features),
    acl: body.acl === undefined ? null : new Link(body.acl),
    time: body.timeNs,
    note: body.note,
  };
  // Versions that do not know the field pass it on between commits, so it names its writer.
  const machine = body.machine === undefined ? {} : { machine: { name: body.machine, writer: map["writer"] ?? null } };
  const approval = body.approved === undefined ? {} : { approved: body.approved };
  const retention = body.retention === undefined ? {} : { retention: retentionToCbor(body.retention) };
  const recovery = body.recovered === undefined ? {} : { recovered: body.recovered.map((cid) => cidToBytes(cid)) };
  return { ...body.unknown, ...map, ...machine, ...approval, ...retention, ...recovery };
}

export function bodyFromCbor(value: CborValue): CommitBody {
  const { features: named } = asMap(value, "a commit", KEYS, true);
  const features = featuresFromCbor(named);
  const hasMachine = features.compat.includes(MACHINE_FEATURE) && hasField(value, "machine");
  const hasApproval = features.compat.includes(APPROVAL_FEATURE) && hasField(value, "approved");
  const hasRetention = hasFeature(features, RETENTION_FEATURE) && hasField(value, "retention");
  const hasRecovery = features.compat.includes(RECOVERY_FEATURE) && hasField(value, "recovered");
  const further = { machine: hasMachine, approved: hasApproval, retention: hasRetention, recovered: hasRecovery };
  const keys = [...KEYS, ...Object.entries(further).flatMap(([key, isThere]) => (isThere ? [key] : []))];
  const map = asMap(value, "a commit", keys, hasUnknownFeatures(features));
  const writer = asBytes(map["writer"], "writer", WRITER_BYTES);
  const body: CommitBody = {
    genesis: asLink(map["genesis"], "genesis", "dag-cbor"),
    tree: asLink(map["tree"], "tree", "dag-cbor"),
    policy: asLink(map["policy"], "policy", "dag-cbor"),
    parent: optional(map["parent"], (parent) => asWeakLink(parent, "parent")),
    skip: optional(map["skip"], (skip) => asWeakLink(skip, "skip")),
    seq: asCount(map["seq"], "seq") as Lamport,
    writer: Buffer.from(writer).toString("hex") as WriterId,
    epoch: asCount(map["epoch"], "epoch"),
    heads: headsFieldFromCbor(map["heads"], features.incompat.includes(HEADS_TREE_FEATURE)),
    kept: asLink(map["kept"], "kept", "dag-cbor"),
    totals: totalsFromCbor(map["totals"]),
    features,
    acl: optional(map["acl"], (acl) => asLink(acl, "acl", "dag-cbor")),
    timeNs: asBigInt(map["time"], "time"),
    note: asText(map["note"], "note", MAX_NOTE_BYTES),
    machine: hasMachine ? machineFromCbor(map["machine"], writer) : undefined,
    ...(hasApproval && { approved: asCount(map["approved"], "approved") as Lamport }),
    ...(hasRetention && { retention: retentionFromCbor(map["retention"]) }),
    ...(hasRecovery && { recovered: recoveredFromCbor(map["recovered"]) }),
    unknown: Object.fromEntries(Object.entries(map).filter(([key]) => !keys.includes(key))),
  };
  checkPlace(body);
  return body;
}

/** The newest of a commit's recovered roots that are kept. */
export const MAX_RECOVERED = 16;
const WRITER_BYTES = 16;
const KEYS = "genesis tree policy parent skip seq writer epoch heads kept totals features acl time note".split(" ");

/** Checks that fields match the seq: the first commit has no parent, and seq alone decides where `skip` leads. */
function checkPlace(body: CommitBody): void {
  if (body.seq < 1) throw misfit("seq", "is less than 1");
  if ((body.seq === 1) !== (body.parent === undefined)) throw misfit("parent", "does not match seq");
  const target = skipSeq(body.seq);
  if ((target === 0) !== (body.skip === undefined)) throw misfit("skip", "does not match seq");
  if (target === body.seq - 1 && body.skip !== body.parent) throw misfit("skip", "is not the parent");
  if (body.approved !== undefined && (body.approved < 1 || body.approved > body.seq))
    throw misfit("approved", "does not match seq");
}

function recoveredFromCbor(value: CborValue | undefined): Cid[] {
  const list = asList(value, "recovered");
  if (list.length === 0 || list.length > MAX_RECOVERED) throw misfit("recovered", "has too few or too many roots");
  return list.map((root) => asWeakLink(root, "recovered"));
}

function hasField(value: CborValue, field: string): boolean {
  return typeof value === "object" && value !== null && Object.hasOwn(value, field);
}

/** Undefined if another writer's name was passed on. */
function machineFromCbor(value: CborValue | undefined, writer: Uint8Array): string | undefined {
  const map = asMap(value, "machine", ["name", "writer"]);
  const name = asText(map["name"], "machine", MAX_MACHINE_BYTES);
  return Buffer.from(asBytes(map["writer"], "machine", WRITER_BYTES)).equals(writer) ? name : undefined;
}

function totalsFromCbor(value: CborValue | undefined): Totals {
  const map = asMap(value, "totals", ["files", "directories", "bytes"]);
  return {
    files: asCount(map["files"], "files"),
    directories: asCount(map["directories"], "directories"),
    bytes: asCount(map["bytes"], "bytes"),
  };
}

function weakLink(cid: Cid | undefined): CborValue {
  return cid === undefined ? null : cidToBytes(cid);
}

function optional<Value>(
  value: CborValue | undefined,
  read: (value: CborValue | undefined) => Value,
): Value | undefined {
  return value === null ? undefined : read(value);
}
