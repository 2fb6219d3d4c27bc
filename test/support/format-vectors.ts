/**
 * Known answers for every stored format, from fixed inputs. They are frozen in test/vectors/formats.json: every other
 * implementation and every later version must give the same. docs/reference/formats.md explains them.
 */
import type { Cid, FileId, FileName, PackName, WriterId } from "../../src/base/ids.ts";
import { ROOT_ID } from "../../src/base/ids.ts";
import { nameFromBytes, nameFromText } from "../../src/base/names.ts";
import { createContentConfig } from "../../src/content/config.ts";
import { writeContent } from "../../src/content/write.ts";
import { blake3 } from "../../src/crypto/hash.ts";
import { cidOf } from "../../src/format/blocks/cid.ts";
import { decodeChunkList } from "../../src/format/files/chunk-list.ts";
import { signCommit } from "../../src/format/commits/commit.ts";
import type { EncodedValue } from "../../src/format/files/fields.ts";
import { headRow, headsField } from "../../src/format/commits/heads.ts";
import { backrefKey, birthId, copyId, dentryKey, selfKey, splitId } from "../../src/format/files/keys.ts";
import { encodeLease } from "../../src/format/commits/lease.ts";
import { encodeManifest } from "../../src/format/blocks/manifest.ts";
import { decodeNode } from "../../src/format/tree/node-decoder.ts";
import { encodeFooter, PLAIN } from "../../src/format/blocks/pack.ts";
import { DEFAULT_POLICY, encodePolicy } from "../../src/format/commits/policy.ts";
import { HEADS_TREE_FEATURE, RETENTION_FEATURE } from "../../src/format/commits/features.ts";
import { DEFAULT_RETENTION } from "../../src/format/commits/retention.ts";
import type { FileRecord } from "../../src/format/files/record.ts";
import { encodeRoot } from "../../src/format/blocks/root-object.ts";
import { encodeBackref, encodeDentry, encodeSelf } from "../../src/format/files/rows.ts";
import { encodePage } from "../../src/format/blocks/run.ts";
import { createTreeConfig } from "../../src/tree/boundary.ts";
import { buildTree, emptyTree } from "../../src/tree/edit.ts";
import { NodeStore } from "../../src/tree/node-store.ts";
import { BlockMap } from "./block-map.ts";
import { commitBodyAt, createSignedBucket } from "./signed-bucket.ts";

/** Plain data: bytes in hex, times in decimal. */
export async function createFormatVectors(): Promise<object> {
  return {
    about:
      "Known answers of the stored formats (docs/reference/formats.md). Bytes are hex. Made by scripts/make-vectors; frozen.",
    cids: [cidVector("raw", Buffer.from("hello")), cidVector("dag-cbor", Uint8Array.of(0x80))],
    ids: idVectors(),
    keys: keyVectors(),
    rows: rowVectors(),
    signed: await signedVectors(),
    tree: await treeVectors(),
    content: await contentVectors(),
    objects: objectVectors(),
    sparse: sparseVectors(),
    retention: await retentionVectors(),
    births: birthVectors(),
    headsTree: await headsTreeVector(),
  };
}

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
const parent = "112233445566778899aabbccddeeff00" as FileId;
const id = "0f1e2d3c4b5a69788796a5b4c3d2e1f0" as FileId;
const writer = "a0a1a2a3a4a5a6a7a8a9aaabacadaeaf" as WriterId;
const name = nameFromText("Bücher.txt");

function cidVector(codec: "raw" | "dag-cbor", bytes: Uint8Array) {
  return { codec, bytes: hex(bytes), cid: cidOf(codec, bytes) };
}

function idVectors() {
  const near = birthId(ROOT_ID, nameFromText("src"), "directory", 0);
  const hash = blake3(Buffer.from("copy"));
  return {
    birth: [
      { parent: ROOT_ID, name: hex(Buffer.from("src")), type: "directory", generation: 0, id: near },
      { parent: near, name: nameHex(name), type: "file", generation: 1, id: birthId(near, name, "file", 1) },
      { parent, name: nameHex(name), type: "symlink", generation: 0, id: birthId(parent, name, "symlink", 0) },
    ],
    split: { parent, id, writer, epoch: 7, result: splitId(parent, id, writer, 7) },
    copy: {
      parent,
      of: id,
      name: nameHex(name),
      hash: hex(hash),
      generation: 0,
      id: copyId(parent, id, name, hash, 0),
    },
  };
}

function keyVectors() {
  return {
    self: { id, key: hex(selfKey(id)) },
    dentry: { parent, name: nameHex(name), key: hex(dentryKey(parent, name)) },
    backref: { id, parent, name: nameHex(name), key: hex(backrefKey(id, parent, name)) },
  };
}

function nameHex(text: FileName): string {
  return Buffer.from(text, "latin1").toString("hex");
}

const plain: FileRecord = {
  type: "file",
  mode: 0o644,
  uid: 1000,
  gid: 1000,
  size: 5,
  mtimeNs: 1_780_000_000_123_456_789n,
  ctimeNs: -1n,
  rdev: 0,
  xattrs: new Map(),
  content: { kind: "inline", bytes: Buffer.from("hello") },
  target: "",
  conflict: undefined,
  unknown: new Map(),
};

function birthVectors() {
  const noLink = () => {
    throw new Error("no value is long");
  };
  const unknown = new Map([27, 29].map((tag) => [tag, Buffer.from("later")]));
  const value = (record: FileRecord) => hex(encodeDentry({ kind: "record", stated: undefined, record }, noLink).value);
  return {
    known: value({ ...plain, birthNs: 1_770_000_000_123_456_789n }),
    before1970: value({ ...plain, birthNs: -1n }),
    amongLaterFields: value({ ...plain, birthNs: 1n, unknown }),
  };
}

function rowVectors() {
  const blocks = new Map<Cid, string>();
  const link = (bytes: Uint8Array) => {
    const cid = cidOf("dag-cbor", bytes);
    blocks.set(cid, hex(bytes));
    return cid;
  };
  const row = (about: string, { value, links }: EncodedValue) => ({ about, value: hex(value), links });
  const dentry = (about: string, record: FileRecord, stated?: FileId) =>
    row(about, encodeDentry({ kind: "record", stated, record }, link));
  const leaf = cidOf("raw", Buffer.from("chunk"));
  const list = cidOf("dag-cbor", Uint8Array.of(0x80));
  const empty: FileRecord = { ...plain, content: { kind: "empty" }, size: 0 };
  const xattrs = new Map([
    ["user.a", Buffer.from("1")],
    ["security.selinux", Buffer.from("x")],
  ]);
  const unknown = new Map([
    [27, Buffer.from("later")],
    [155, Buffer.concat([Buffer.of(1, 0x71, 0x1e, 0x20), blake3(Uint8Array.of(0x80)), Buffer.from("more")])],
  ]);
  const directory: FileRecord = { ...empty, type: "directory", mode: 0o755 };
  const rows = [
    dentry("dentry of a file, content inline", plain),
    dentry("dentry of a file that states its id", plain, id),
    dentry("dentry of a file in one chunk", { ...plain, size: 70_000, content: { kind: "chunk", cid: leaf } }),
    dentry("dentry of a file in a chunk list", { ...plain, size: 2 ** 40, content: { kind: "list", cid: list } }),
    dentry("dentry of a file with attributes", { ...empty, xattrs }),
    dentry("dentry of a file with long attributes", {
      ...empty,
      xattrs: new Map([["user.b", Buffer.alloc(600, 0x62)]]),
    }),
    dentry("dentry of a symlink", { ...empty, type: "symlink", target: "../a", size: 4 }),
    dentry("dentry of a symlink with a long target", { ...empty, type: "symlink", target: "t".repeat(600), size: 600 }),
    dentry("dentry of a device", { ...empty, type: "char", rdev: 0x103 }),
    dentry("dentry of a conflict copy", { ...plain, conflict: { of: id, writer, epoch: 300 } }),
    dentry("dentry with fields of a later version", { ...plain, unknown }),
    dentry("dentry of a file from the year 2500", { ...empty, mtimeNs: 16_725_225_600_000_000_000n }),
    row("dentry of a directory", encodeDentry({ kind: "reference", type: "directory", id }, link)),
    row("self-record of a hard-linked file", encodeSelf({ kind: "file", record: plain }, link)),
    row(
      "self-record of the root directory",
      encodeSelf({ kind: "directory", record: directory, place: undefined, subdirs: 0 }, link),
    ),
    row(
      "self-record of a directory",
      encodeSelf(
        { kind: "directory", record: directory, place: { parent, name: nameFromBytes(Buffer.of(0xff)) }, subdirs: 2 },
        link,
      ),
    ),
    row("back-reference", encodeBackref()),
  ];
  return { values: rows, blocks: Object.fromEntries(blocks) };
}

async function signedVectors() {
  const bucket = await createSignedBucket();
  const { genesis, certificate, device, owner } = bucket;
  const policy = encodePolicy(DEFAULT_POLICY);
  const commits = [1, 6].map((seq) => signCommit(commitBodyAt(bucket, seq), certificate.cid, device));
  const many = new Map(Array.from({ length: 60 }, (_, at) => [hex(Buffer.alloc(16, at)) as WriterId, at * at]));
  const blocks: Uint8Array[] = [];
  headsField(many, (bytes) => {
    blocks.push(bytes);
    return cidOf("dag-cbor", bytes);
  });
  return {
    walletKey: "42".repeat(32),
    wallet: owner.wallet,
    deviceSeed: hex(device.seed),
    devicePublicKey: hex(device.publicKey),
    writer: device.writer,
    genesis: { bytes: hex(genesis.bytes), cid: genesis.cid },
    certificate: { bytes: hex(certificate.bytes), cid: certificate.cid },
    policy: { bytes: hex(policy), cid: cidOf("dag-cbor", policy) },
    commits: commits.map((commit) => ({
      seq: commit.body.seq,
      bytes: hex(commit.bytes),
      message: hex(commit.message),
      cid: commit.cid,
    })),
    heads: { about: "60 writers, i × 16 bytes at epoch i²", blocks: blocks.map((bytes) => cidOf("dag-cbor", bytes)) },
  };
}

async function headsTreeVector() {
  const bucket = await createSignedBucket();
  const { certificate, device } = bucket;
  const blocks = new BlockMap();
  const nodes = new NodeStore(blocks, { capacityBytes: 0 });
  const treeConfig = createTreeConfig({ salt: new Uint8Array(16) });
  const rows = Array.from({ length: 3_000 }, (_, at) => {
    const id = Buffer.alloc(16);
    id.writeUInt32BE(at);
    return headRow(hex(id) as WriterId, at * at);
  });
  const tree = await buildTree(nodes, blocks, treeConfig, rows);
  const features = { incompat: [HEADS_TREE_FEATURE], roCompat: [], compat: [] };
  const commit = signCommit({ ...commitBodyAt(bucket, 1), features, heads: { tree } }, certificate.cid, device);
  return {
    about:
      "A tree of heads with a salt of zeros: 3,000 writers, i as 4 bytes and 12 zeros, at epoch i²; and a commit with it",
    tree,
    row: rows.slice(-1).map(({ key, value }) => ({ key: hex(key), value: hex(value) })),
    commit: { bytes: hex(commit.bytes), cid: commit.cid },
  };
}

async function retentionVectors() {
  const bucket = await createSignedBucket();
  const commits = [
    { features: { incompat: [], roCompat: [RETENTION_FEATURE], compat: [] }, days: 3_650 * 86_400 },
    { features: { incompat: [], roCompat: [], compat: [RETENTION_FEATURE] }, days: 0 },
  ].map(({ features, days }) => {
    const body = { ...commitBodyAt(bucket, 1), features, retention: { ...DEFAULT_RETENTION, days } };
    return signCommit(body, bucket.certificate.cid, bucket.device);
  });
  return {
    about: "commits whose bucket retains the last root of each day for 3650 days, and no root by its day",
    commits: commits.map(({ bytes, cid }) => ({ bytes: hex(bytes), cid })),
  };
}

const TREE_ENTRIES = 2000;

async function treeVectors() {
  const salt = new Uint8Array(32).fill(2);
  const blocks = new BlockMap();
  const nodes = new NodeStore(blocks, { capacityBytes: 1 << 24 });
  const config = createTreeConfig({ salt });
  const empty = await emptyTree(nodes, blocks, config);
  const entries = Array.from({ length: TREE_ENTRIES }, (_, index) => {
    const digest = blake3(u32(index));
    const links = index % 3 === 0 ? [cidOf("raw", u32(index))] : [];
    return { key: digest.slice(0, index % 5 === 0 ? 8 : 20), value: digest.slice(0, index % 32), links };
  });
  const sorted = entries.toSorted((a, b) => Buffer.compare(a.key, b.key));
  const root = await buildTree(nodes, blocks, config, sorted);
  const nodesBuilt = [...blocks.held].filter(([cid]) => cid !== empty);
  const leaf = nodesBuilt.map(([, bytes]) => bytes).toSorted((a, b) => a.length - b.length)[0] ?? new Uint8Array();
  return {
    about:
      "entry i of 2000: d = blake3(i as u32 LE); key d[0..8] if i mod 5 = 0, else d[0..20]; value d[0..i mod 32]; one link to the raw block of i as u32 LE if i mod 3 = 0",
    salt: hex(salt),
    targetBytes: config.targetBytes,
    empty: { cid: empty, bytes: hex(await blocks.get(empty)) },
    root,
    levels: decodeNode(await blocks.get(root)).level + 1,
    nodes: nodesBuilt.length,
    smallest: { cid: cidOf("dag-cbor", leaf), bytes: hex(leaf) },
  };
}

const CONTENT_BYTES = 700_000;
const HOLE_BYTES = 100_000;

async function contentVectors() {
  const config = createContentConfig();
  const blocks = new BlockMap();
  const half = stream(CONTENT_BYTES);
  const input = { size: 2 * CONTENT_BYTES + HOLE_BYTES, stretches: [half, HOLE_BYTES, half] };
  const content = await writeContent(blocks, config, input);
  const bytes = content.kind === "list" ? await blocks.get(content.cid) : new Uint8Array();
  const list = decodeChunkList(bytes);
  return {
    about:
      "bytes = blake3(0) ‖ blake3(1) ‖ …, counters as u32 LE, cut to 700,000; the file is these bytes, a hole of 100,000, these bytes again",
    gear: Array.from(config.gear.subarray(0, 4)),
    kind: content.kind,
    bytes: hex(bytes),
    cid: content.kind === "list" ? content.cid : null,
    lengths: Array.from(list.ends, (_, at) => list.entry(at).length),
  };
}

function sparseVectors() {
  const cid = cidOf("dag-cbor", Uint8Array.of(0x80));
  const row = (dataBytes: number) => {
    const record: FileRecord = { ...plain, size: 2 ** 50, content: { kind: "list", cid, dataBytes } };
    return hex(encodeDentry({ kind: "record", stated: undefined, record }, () => cid).value);
  };
  return {
    about: "dentries of files of 2^50 bytes in a chunk list with holes",
    links: [cid],
    rows: [0, 1, 300_000].map((dataBytes) => ({ dataBytes, value: row(dataBytes) })),
  };
}

function stream(length: number): Uint8Array {
  const parts = Array.from({ length: Math.ceil(length / 32) }, (_, index) => blake3(u32(index)));
  return new Uint8Array(Buffer.concat(parts).subarray(0, length));
}

function u32(value: number): Uint8Array {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return new Uint8Array(bytes);
}

function objectVectors() {
  const pack = `pack/${"5a".repeat(16)}` as PackName;
  const gone = `pack/${"0b".repeat(16)}` as PackName;
  const blocks = ["first", "second"].map((text) => Buffer.from(text));
  const rows = blocks.map((bytes, at) => ({
    digest: blake3(bytes),
    offset: at * 5,
    length: bytes.length,
    codec: PLAIN,
    pack,
  }));
  const manifest = encodeManifest({
    gcEpoch: 3,
    runs: [{ id: "c7".repeat(16), rows: 1000 }],
    loose: [{ name: pack, size: 200, rows: 2, manifestBytes: 0 }],
    dropping: [gone],
  });
  const commit = cidOf("dag-cbor", Uint8Array.of(0x80));
  const sorted = rows.toSorted((a, b) => Buffer.compare(a.digest, b.digest));
  const page = encodePage(sorted);
  return {
    pack: { blocks: blocks.map(hex), footer: hex(encodeFooter(rows, new Uint8Array()).bytes) },
    commitObjectFooter: hex(encodeFooter(rows, manifest).bytes),
    manifest: hex(manifest),
    runPage: { rows: hex(page.subarray(0, 146)), check: hex(page.subarray(-16)), blake3: hex(blake3(page)) },
    lease: hex(encodeLease([pack, gone])),
    root: Buffer.from(encodeRoot({ commit, version: 42 })).toString(),
  };
}
