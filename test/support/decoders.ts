/** Every decoder of bytes from a disk or a network, with valid encodings to start from, for mutation fuzzing. */
import { readFileSync } from "node:fs";
import { crc32 } from "node:zlib";
import * as fc from "fast-check";
import { parseBase } from "../../src/agent/state/last-base.ts";
import { parsePins } from "../../src/agent/pins/pin-list.ts";
import { parsePause } from "../../src/agent/state/pause.ts";
import { type ErrorCode, hasCode } from "../../src/base/errors.ts";
import { type Cid, type FileId, type Ino, type Lamport, ROOT_ID, type WriterId } from "../../src/base/ids.ts";
import { MAX_BLOCK_ACCEPTED } from "../../src/base/limits.ts";
import { nameFromText } from "../../src/base/names.ts";
import { parseQuota } from "../../src/bucket/http/owner-quota.ts";
import { parseAddress, splitAddress } from "../../src/bucket/address.ts";
import type { ChangedObject, PublishedObject } from "../../src/fstree/change-set.ts";
import { readRows } from "../../src/packs/pack-healing.ts";
import { parseMountCall } from "../../src/cli/mount-helper.ts";
import { parseHostName } from "../../src/cli/host-name.ts";
import { parseListen } from "../../src/cli/commands/listen.ts";
import { parseAge } from "../../src/cli/commands/retention-text.ts";
import { parseStartFiles } from "../../src/cli/start-files.ts";
import { parseBytes } from "../../src/cli/terminal/text.ts";
import { parsePrivateKey } from "../../src/cli/wallet.ts";
import { blake3, deriveHash, HASH_BYTES } from "../../src/crypto/hash.ts";
import { walletOfKeystore } from "../../src/crypto/keystore.ts";
import { checkToken, signToken } from "../../src/crypto/token.ts";
import { decodeCar } from "../../src/format/blocks/car.ts";
import { decodeCertificate } from "../../src/format/commits/certificate.ts";
import { decodeChunkList, encodeChunkList } from "../../src/format/files/chunk-list.ts";
import { CID_BYTES, cidFromBytes, cidOf, cidToBytes, parseCid } from "../../src/format/blocks/cid.ts";
import { decodeCommit, signCommit } from "../../src/format/commits/commit.ts";
import { decodeCbor, encodeCbor } from "../../src/format/blocks/dag-cbor.ts";
import { decodeDataBytes, encodeDataBytes } from "../../src/format/files/data-bytes.ts";
import type { EncodedValue } from "../../src/format/files/fields.ts";
import { decodeGenesis } from "../../src/format/commits/genesis.ts";
import { decodeHeadRow, decodeHeadsBlock, headKey, headRow, headsField } from "../../src/format/commits/heads.ts";
import { backrefKey, dentryKey, parseKey, selfKey } from "../../src/format/files/keys.ts";
import { decodeLease, encodeLease } from "../../src/format/commits/lease.ts";
import { scanLinks } from "../../src/format/blocks/link-scan.ts";
import { decodeTarget, decodeXattrs, encodeTarget, encodeXattrs } from "../../src/format/blocks/linked-value.ts";
import { decodeManifest, encodeManifest } from "../../src/format/blocks/manifest.ts";
import { decodeNode } from "../../src/format/tree/node-decoder.ts";
import { NodeEncoder } from "../../src/format/tree/node-encoder.ts";
import { packFromReference, packReference, parsePackName } from "../../src/format/blocks/object-name.ts";
import {
  decodeFooter,
  footerHash,
  footerOffset,
  PACK_ROW_BYTES,
  PACK_TAIL_BYTES,
  readTail,
} from "../../src/format/blocks/pack.ts";
import { DEFAULT_POLICY, decodePolicy, encodePolicy } from "../../src/format/commits/policy.ts";
import { decodeRecord, encodeRecord } from "../../src/format/files/record-codec.ts";
import type { FileRecord } from "../../src/format/files/record.ts";
import { decodeRootHint, encodeRootHint } from "../../src/format/blocks/root-hint.ts";
import { decodeBases, decodeRoot, encodeBases, encodeRoot } from "../../src/format/blocks/root-object.ts";
import { decodeDentry, decodeSelf, encodeDentry, encodeSelf } from "../../src/format/files/rows.ts";
import { decodePage, encodePage } from "../../src/format/blocks/run.ts";
import { parseRates } from "../../src/cli/rates.ts";
import { parsePrices } from "../../src/cli/prices.ts";
import { parseOwnerMap } from "../../src/fuse/owners.ts";
import { parseAcl } from "../../src/vfs/acl.ts";
import { FsError } from "../../src/vfs/filesystem.ts";
import { parseHandoff, parseMountPlace } from "../../src/fuse/supervisor.ts";
import { parseLocks } from "../../src/fuse/locked-files.ts";
import { parseMountTable } from "../../src/fuse/mount-table.ts";
import { cidsIn } from "../../src/master/blocks/cids.ts";
import { parseTarget } from "../../src/master/http/target.ts";
import { Refusal as MasterRefusal } from "../../src/master/http/refusal.ts";
import { encodeFrame, readJournal, rowsPerhapsIn } from "../../src/master/store/row-journal.ts";
import { parseCapabilities } from "../../src/net/capabilities.ts";
import { serverEvents } from "../../src/net/event-stream.ts";
import { parseError, parseList } from "../../src/objects/s3/s3-request.ts";
import { parseHolder } from "../../src/objects/lock-holder.ts";
import { ByteReader, ByteWriter } from "../../src/overlay/data/bytes.ts";
import {
  decodeHead,
  decodeObject,
  decodeSealed,
  encodeHead,
  encodeSealed,
  writeObject,
} from "../../src/overlay/journal/checkpoint.ts";
import { keptObject } from "../../src/overlay/dirty-object.ts";
import { Extents } from "../../src/overlay/data/extents.ts";
import { type InUse, NOTHING_IN_USE } from "../../src/overlay/in-use.ts";
import { readJournalRecord, writeJournalRecord } from "../../src/overlay/journal/journal-codec.ts";
import {
  alignedFrameBytes,
  findFrames,
  FRAME_HEADER_BYTES,
  readSegmentHeader,
  sealFrame,
  SEGMENT_HEADER_BYTES,
  segmentHeader,
} from "../../src/overlay/journal/journal-frame.ts";
import type { JournalRecord } from "../../src/overlay/journal/journal-record.ts";
import { EncodedObjects, encodeChanged, decodeChanged } from "../../src/overlay/data/encoded-epoch.ts";
import { parseDataFileName, parseSmallName } from "../../src/overlay/data/data-file-names.ts";
import { readEntries, writeEntryHeader } from "../../src/overlay/data/small-pieces.ts";
import type { StoredFile } from "../../src/overlay/disk/storage.ts";
import { rootFrom } from "../../src/roots/http-root-store.ts";
import { parsed, textsOf } from "../../src/sync/apply/redo-lines.ts";
import { entryOf, rowOf, type Entry } from "../../src/sync/known/entry.ts";
import { parseRules } from "../../src/sync/scan/ignore-rules.ts";
import { decodePasswords, encodePasswords, makeAppPassword } from "../../src/webdav/sign-in/app-passwords.ts";
import { parseDead } from "../../src/webdav/properties/dead-value.ts";
import { parseHttpDate } from "../../src/webdav/properties/http-date.ts";
import { parseReference, parseTarget as parseHref } from "../../src/webdav/href.ts";
import { parseIf } from "../../src/webdav/locks/if-header.ts";
import { parsePropfind } from "../../src/webdav/properties/property-request.ts";
import { parseRanges } from "../../src/webdav/methods/ranges.ts";
import { Refusal } from "../../src/webdav/refusal.ts";
import { readXml } from "../../src/webdav/xml/xml-reader.ts";
import { acl } from "./acl-text.ts";
import { bearerDecoders } from "./bearer-decoders.ts";
import { carOf } from "./car.ts";
import type { Decoder } from "./fuzz.ts";
import { arbitraryRecord } from "./records.ts";
import { rowDecoders } from "./row-decoders.ts";
import { commitBodyAt, createSignedBucket } from "./signed-bucket.ts";

/** The parts of test/vectors/formats.json used here. Bytes are in hex. */
interface Vectors {
  readonly rows: {
    readonly values: readonly { readonly about: string; readonly value: string; readonly links: readonly Cid[] }[];
  };
  readonly tree: { readonly empty: { readonly bytes: string }; readonly smallest: { readonly bytes: string } };
  readonly content: { readonly bytes: string };
  readonly objects: {
    readonly pack: { readonly blocks: readonly string[]; readonly footer: string };
    readonly commitObjectFooter: string;
  };
}

const vectors = JSON.parse(readFileSync(new URL("../vectors/formats.json", import.meta.url), "utf8")) as Vectors;

export async function createDecoders(): Promise<Decoder[]> {
  return [
    ...formatDecoders(),
    ...(await signedDecoders()),
    ...packDecoders(),
    ...overlayDecoders(),
    ...syncDecoders(),
    ...(await textDecoders()),
    ...commandDecoders(),
  ];
}

const code =
  (...codes: ErrorCode[]) =>
  (error: unknown) =>
    codes.some((each) => hasCode(error, each));
const format = code("format_invalid", "feature_unknown");
const state = code("state_corrupt");
const never = () => false;
const S3_ERROR = "<Error><Code>AccessDenied</Code><Message>no</Message><Region>eu</Region></Error>";
const S3_LIST =
  "<ListBucketResult><EncodingType>url</EncodingType><IsTruncated>true</IsTruncated><NextContinuationToken>n" +
  "</NextContinuationToken><Contents><Key>p%2Fa</Key><Size>3</Size><LastModified>2026-01-01T00:00:00Z" +
  "</LastModified></Contents></ListBucketResult>";
const ACL_TEXT = "u::rw- u:7:rwx g::r-- g:8:r-- m::rwx o::r--";
const isFsError = (error: unknown) => error instanceof FsError;
const refusal = (error: unknown) => error instanceof Refusal || error instanceof MasterRefusal;

const hex = (text: string) => Buffer.from(text, "hex");
const text = (bytes: Uint8Array) => Buffer.from(bytes).toString("latin1");
const sample = <Value>(arbitrary: fc.Arbitrary<Value>, count = 8) => fc.sample(arbitrary, { seed: 7, numRuns: count });
const linkTo = (bytes: Uint8Array) => cidOf("dag-cbor", bytes);
const link = cidOf("dag-cbor", Uint8Array.of(0x80));
const parent = "112233445566778899aabbccddeeff00" as FileId;
const id = "0f1e2d3c4b5a69788796a5b4c3d2e1f0" as FileId;
const name = nameFromText("name");
const records = sample(arbitraryRecord({ long: false }));
const file: FileRecord = {
  type: "file",
  mode: 0o644,
  uid: 1000,
  gid: 1000,
  size: 5,
  mtimeNs: 1_780_000_000_123_456_789n,
  ctimeNs: -(2n ** 64n),
  rdev: 0,
  xattrs: new Map([["user.a", Buffer.from("1")]]),
  content: { kind: "inline", bytes: Buffer.from("hello") },
  target: "",
  conflict: undefined,
  unknown: new Map(),
};

/** Consumes items that are decoded lazily, as callers do. */
function drain(items: Iterable<unknown>): undefined {
  for (const item of items) void item;
  return undefined;
}

function nothing(_: unknown): undefined {
  return undefined;
}

function formatDecoders(): Decoder[] {
  const cbor = sample(fc.letrec<{ value: unknown }>((tie) => ({ value: cborOf(tie("value")) })).value, 20);
  const values = [...cbor, { a: [1, "x", new Uint8Array(3)], bb: null }].map((value) => encodeCbor(value as never));
  const rows = vectors.rows.values.map(({ about, value, links }) => ({
    about,
    bytes: joinRow({ value: hex(value), links }),
  }));
  const rowsAbout = (about: RegExp) => rows.filter((row) => about.test(row.about)).map(({ bytes }) => bytes);
  const list = hex(vectors.content.bytes);
  const upper = encodeChunkList(1, [
    { cid: link, length: 70_000, dataLength: 60_000 },
    { cid: link, length: 9, dataLength: 0 },
  ]);
  const nodes = [vectors.tree.empty.bytes, vectors.tree.smallest.bytes].map(hex);
  const heads = new Map(
    Array.from({ length: 60 }, (_, at) => [Buffer.alloc(16, at).toString("hex") as never, at * at]),
  );
  const headBlocks: Uint8Array[] = [];
  headsField(heads, (bytes) => {
    headBlocks.push(bytes);
    return linkTo(bytes);
  });
  const blocks = [Buffer.from("hello"), Buffer.alloc(300, 1)].map((bytes) => ({ cid: cidOf("raw", bytes), bytes }));
  return [
    { name: "dag-cbor", samples: values, refuses: format, decode: (bytes) => encodeCbor(decodeCbor(bytes)) },
    {
      name: "links",
      samples: [...values, ...nodes, list],
      refuses: format,
      decode: (bytes) => drain(scanLinks(bytes).slice(0)),
    },
    { name: "cid", samples: [cidToBytes(link)], refuses: format, decode: (bytes) => cidToBytes(cidFromBytes(bytes)) },
    {
      name: "cid-text",
      samples: [Buffer.from(link)],
      refuses: format,
      decode: (bytes) => Buffer.from(parseCid(text(bytes))),
    },
    {
      name: "node",
      samples: nodes,
      refuses: format,
      decode(bytes) {
        const node = decodeNode(bytes);
        for (let index = 0; index < node.count; index++)
          drain([node.keyAt(index), node.valueAt(index), node.linksAt(index)]);
        const encoder = new NodeEncoder();
        encoder.addFrom(node, 0, node.count);
        return encoder.encode(node.level);
      },
    },
    {
      name: "chunk-list",
      samples: [list, upper],
      refuses: format,
      decode(bytes) {
        const decoded = decodeChunkList(bytes);
        return encodeChunkList(
          decoded.level,
          Array.from(decoded.ends, (_, index) => decoded.entry(index)),
        );
      },
    },
    {
      name: "dentry",
      samples: rowsAbout(/^dentry/),
      refuses: format,
      decode: (bytes) => joinRow(encodeDentry(decodeDentry(parent, name, splitRow(bytes)), linkTo)),
    },
    {
      name: "self-record",
      samples: rowsAbout(/^self-record of a/),
      refuses: format,
      decode: (bytes) => joinRow(encodeSelf(decodeSelf(id, splitRow(bytes)), linkTo)),
    },
    {
      name: "root-self-record",
      samples: rowsAbout(/^self-record of the root/),
      refuses: format,
      decode: (bytes) => joinRow(encodeSelf(decodeSelf(ROOT_ID, splitRow(bytes)), linkTo)),
    },
    {
      name: "record",
      samples: records.map((record) => joinRow(encodeRecord(record, linkTo))),
      refuses: format,
      decode: (bytes) => joinRow(encodeRecord(decodeRecord(splitRow(bytes)), linkTo)),
    },
    {
      name: "key",
      samples: [selfKey(id), dentryKey(parent, name), backrefKey(id, parent, name)],
      refuses: format,
      decode(bytes) {
        const key = parseKey(bytes);
        if (key.kind === "self") return selfKey(key.id);
        return key.kind === "dentry" ? dentryKey(key.id, key.name) : backrefKey(key.id, key.parent, key.name);
      },
    },
    {
      name: "xattrs",
      samples: [
        encodeXattrs(
          new Map([
            ["user.a", Buffer.from("1")],
            ["user.bb", Buffer.alloc(40)],
          ]),
        ),
      ],
      refuses: format,
      decode: (bytes) => encodeXattrs(decodeXattrs(bytes)),
    },
    {
      name: "target",
      samples: [Buffer.from("../a")],
      refuses: format,
      decode: (bytes) => encodeTarget(decodeTarget(bytes)),
    },
    {
      name: "policy",
      samples: [encodePolicy(DEFAULT_POLICY)],
      refuses: format,
      decode: (bytes) => encodePolicy(decodePolicy(bytes)),
    },
    {
      name: "data-bytes",
      samples: [encodeDataBytes(link, 0), encodeDataBytes(link, 70_000)],
      refuses: format,
      decode: (bytes) => nothing(decodeDataBytes(bytes, link, 100_000)),
    },
    { name: "heads", samples: headBlocks, refuses: format, decode: (bytes) => nothing(decodeHeadsBlock(bytes)) },
    {
      name: "head-row",
      samples: [headRow("ab".repeat(16) as WriterId, 42)].map(({ key, value }) => Buffer.concat([key, value])),
      refuses: format,
      decode(bytes) {
        const [read, epoch] = decodeHeadRow({ key: bytes.subarray(0, 16), value: bytes.subarray(16) });
        return Buffer.concat([headKey(read), headRow(read, epoch).value]);
      },
    },
    {
      name: "root",
      samples: [encodeRoot({ commit: link, version: 42 })],
      refuses: format,
      decode: (bytes) => encodeRoot(decodeRoot(bytes)),
    },
    {
      name: "bases",
      samples: [1, 9].map((count) => encodeBases(Array.from({ length: count }, () => ({ commit: link, version: 42 })))),
      refuses: format,
      decode: (bytes) => encodeBases(decodeBases(bytes)),
    },
    {
      name: "root-hint",
      samples: [encodeRootHint(0), encodeRootHint(42)],
      refuses: never,
      decode(bytes) {
        const number = decodeRootHint(bytes);
        return number === undefined ? undefined : encodeRootHint(number);
      },
    },
    {
      name: "car",
      samples: [carOf(), carOf(...blocks)],
      refuses: format,
      // A stream: it allocates a block's memory before its bytes arrive.
      fixedBytes: MAX_BLOCK_ACCEPTED,
      decode: async (bytes) => drainLater(decodeCar(pieces(bytes))),
    },
  ];
}

async function signedDecoders(): Promise<Decoder[]> {
  const bucket = await createSignedBucket();
  const commits = [1, 6].map(
    (seq) => signCommit(commitBodyAt(bucket, seq), bucket.certificate.cid, bucket.device).bytes,
  );
  const token = await signToken(bucket.owner, 1_000_000, 600);
  const signed = code("format_invalid", "feature_unknown", "bad_signature", "key_invalid");
  return [
    {
      name: "genesis",
      samples: [bucket.genesis.bytes],
      refuses: signed,
      decode: (bytes) => decodeGenesis(bytes).bytes,
    },
    {
      name: "certificate",
      samples: [bucket.certificate.bytes],
      refuses: signed,
      decode: (bytes) => decodeCertificate(bytes).bytes,
    },
    { name: "commit", samples: commits, refuses: format, decode: (bytes) => decodeCommit(bytes).bytes },
    {
      name: "token",
      samples: [Buffer.from(token)],
      refuses: never,
      decode: (bytes) => nothing(checkToken(text(bytes), 1_000_100)),
    },
    ...(await bearerDecoders(bucket.owner)),
  ];
}

function packDecoders(): Decoder[] {
  const blocks = Buffer.concat(vectors.objects.pack.blocks.map(hex));
  const packs = [vectors.objects.pack.footer, vectors.objects.commitObjectFooter].map((footer) =>
    Buffer.concat([blocks, hex(footer)]),
  );
  const pack = packFromReference(Buffer.concat([Buffer.of(0), Buffer.alloc(16, 0x5a), Buffer.alloc(16)]));
  const manifest = encodeManifest({
    gcEpoch: 3,
    runs: [{ id: "c7".repeat(16), rows: 1000 }],
    loose: [{ name: pack, size: 200, rows: 2, manifestBytes: 0 }],
    dropping: [pack],
  });
  const rows = ["a", "b", "c"].map((each, at) => ({
    digest: blake3(Buffer.from(each)),
    offset: at,
    length: 1,
    codec: 0,
    pack,
  }));
  const page = encodePage(rows.toSorted((a, b) => Buffer.compare(a.digest, b.digest)));
  const frames = Buffer.concat([encodeFrame(0, 0, rows), encodeFrame(1, 3, rows.slice(1))]);
  return [
    {
      name: "pack",
      samples: packs,
      refuses: format,
      reseal(bytes) {
        const tail = bytes.length - PACK_TAIL_BYTES;
        if (tail < 0) return;
        const [rowCount, manifestBytes] = [
          bytes.readUInt32LE(tail + HASH_BYTES),
          bytes.readUInt32LE(tail + HASH_BYTES + 4),
        ];
        const start = tail - manifestBytes - rowCount * PACK_ROW_BYTES;
        if (start >= 0) bytes.set(footerHash(bytes.subarray(start, tail), rowCount, manifestBytes), tail);
      },
      decode(bytes) {
        const shape = readTail(bytes, bytes.length);
        const { footer, manifest: held } = decodeFooter(bytes.subarray(footerOffset(shape)), shape);
        drain(footer);
        return held.length === 0 ? undefined : nothing(decodeManifest(held));
      },
    },
    {
      name: "damaged-pack",
      samples: packs,
      refuses: never,
      decode: (bytes) => drain(readRows(bytes, Math.min(8, bytes.length), 0)),
    },
    {
      name: "manifest",
      samples: [manifest],
      refuses: format,
      decode: (bytes) => encodeManifest(decodeManifest(bytes)),
    },
    {
      name: "lease",
      samples: [encodeLease([pack])],
      refuses: format,
      decode: (bytes) => encodeLease(decodeLease(bytes)),
    },
    {
      name: "pack-reference",
      samples: [packReference(pack)],
      refuses: format,
      decode: (bytes) => packReference(packFromReference(bytes)),
    },
    {
      name: "run-page",
      samples: [page],
      refuses: format,
      reseal(bytes) {
        const check = deriveHash("syncline/run-page/1", blake3(bytes.subarray(0, -CHECK_BYTES)));
        if (bytes.length >= CHECK_BYTES) bytes.set(check.subarray(0, CHECK_BYTES), bytes.length - CHECK_BYTES);
      },
      decode: (bytes) => drain(decodePage(bytes, 0, rows.length)),
    },
    {
      name: "row-journal",
      samples: [frames],
      refuses: never,
      reseal(bytes) {
        if (bytes.length < 20) return;
        const end = Math.min(bytes.length, 20 + bytes.readUInt32LE(4) * PACK_ROW_BYTES);
        bytes.writeUInt32LE(crc32(bytes.subarray(20, end), crc32(bytes.subarray(0, 16))), 16);
      },
      decode(bytes) {
        const { lost } = readJournal(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length));
        for (const each of lost) drain(rowsPerhapsIn(each));
        return undefined;
      },
    },
  ];
}

const inUse: InUse = {
  base: link,
  isPartial: true,
  files: [{ ino: 9 as Ino, id, record: file, names: [{ parent, name }] }],
  families: [
    {
      parent: 8 as Ino,
      parentId: parent,
      main: name,
      files: [{ ino: 9 as Ino, id, record: file, names: [{ parent, name }] }],
      free: [name],
      added: [undefined, 7 as Ino].map((ino) => ({ name, id, record: file, ino })),
    },
  ],
  lost: [
    { main: { parent: 8 as Ino, name }, names: [{ from: { parent: 8 as Ino, name }, to: { parent: 9 as Ino, name } }] },
  ],
};

const LOCKS = "1: FLOCK  ADVISORY  WRITE 4119 00:2a:11 0 EOF\n1: -> POSIX  ADVISORY  READ 4120 08:2a:12 0 128\n";

function overlayDecoders(): Decoder[] {
  const base = { commit: link, tree: link, seq: 7 as Lamport };
  const ino = 9 as Ino;
  const extents = Extents.ofSegments([
    { offset: 0, length: 7, from: "base", epoch: 0 },
    { offset: 7, length: 3, from: "data", epoch: 4 },
  ]);
  const objects = records.map((record) => {
    const object = keptObject({ ino, id, record, baseNames: [{ parent, name }], parents: [ino] }, 3);
    object.extents = extents;
    const writer = new ByteWriter(1);
    writeObject(writer, object);
    return writer.bytes;
  });
  const changed: ChangedObject[] = records.map((record) => ({
    ino,
    id,
    baseNames: [{ parent, name }],
    base: record,
    names: [{ parent: ino, name }],
    record,
    content: { kind: "edited", base: record.content, baseSize: 9, segments: extents.segments() },
  }));
  const published: [Ino, PublishedObject][] = records.map((record) => [ino, { id, record, names: [{ parent, name }] }]);
  const flight = { epoch: 4, reference: link, lamport: 8 as Lamport, directories: new Map([[ino, id]]) };
  const heads = [undefined, flight, { ...flight, sent: [{ commit: link, seq: 8 as Lamport }] }].flatMap((each) =>
    [inUse, NOTHING_IN_USE].map((used) =>
      encodeHead({
        frame: 3,
        epoch: 4,
        nextIno: 10,
        base,
        isWhole: each === undefined,
        flight: each,
        inUse: used,
        olderBases: each === undefined ? [] : [4, 5].map((epoch) => ({ base, epoch })),
      }),
    ),
  );
  const journal = journalRecords().map(encodeRecordOfJournal);
  return [
    {
      name: "journal-record",
      samples: journal,
      refuses: state,
      decode(bytes) {
        const reader = new ByteReader(bytes);
        while (!reader.atEnd) readJournalRecord(reader);
        return undefined;
      },
    },
    {
      name: "journal-segment",
      samples: [segmentOf(journal)],
      refuses: never,
      reseal: resealSegment,
      decode: readSegment,
    },
    { name: "checkpoint-head", samples: heads, refuses: state, decode: (bytes) => nothing(decodeHead(bytes)) },
    { name: "checkpoint-object", samples: objects, refuses: state, decode: (bytes) => nothing(decodeObject(bytes)) },
    {
      name: "checkpoint-sealed",
      samples: changed.map(encodeSealed),
      refuses: state,
      decode: (bytes) => nothing(decodeSealed(bytes)),
    },
    {
      name: "changed-objects",
      samples: [encodeChanged(changed)],
      refuses: state,
      decode: (bytes) => nothing(decodeChanged(bytes)),
    },
    {
      name: "published-objects",
      samples: EncodedObjects.of(new Map(published), 3).pieces,
      refuses: state,
      decode(bytes) {
        for (const [, object] of new EncodedObjects([bytes])) drain([object.record, object.names]);
        return undefined;
      },
    },
    {
      name: "small-files",
      samples: [smallFile()],
      refuses: never,
      reseal: resealSmallFile,
      decode: (bytes) => drain(readEntries(fileOf(bytes))),
    },
    {
      name: "last-base",
      samples: [Buffer.from(JSON.stringify(base))],
      refuses: never,
      decode: (bytes) => nothing(parseBase(Buffer.from(bytes))),
    },
  ];
}

function syncDecoders(): Decoder[] {
  const seen = {
    ino: 5n,
    birthNs: 1n,
    mode: 0o644,
    uid: 1,
    gid: 2,
    size: 3,
    mtimeNs: 4n,
    ctimeNs: 5n,
    xattrs: "ab",
    hasty: false,
  };
  const entries = records.map((record): Entry => ({ parent, name, id, record, seen }));
  const lines = entries.map((entry) => JSON.stringify(["put", textsOf(rowOf(entry))]));
  return [
    {
      name: "sync-entry",
      // All columns in one: the record, its links as text, and what was seen on disk.
      samples: entries
        .map(rowOf)
        .map(({ record, links, seen: look }) => joinColumns([record, Buffer.from(links), look])),
      refuses: state,
      decode(bytes) {
        const [record = Buffer.of(), links = Buffer.of(), look = Buffer.of()] = splitColumns(bytes);
        return nothing(entryOf({ parent, name: Buffer.from(name), id, record, links: text(links), seen: look }));
      },
    },
    {
      name: "redo-line",
      samples: [...lines, JSON.stringify(["move", [parent, name], textsOf(rowOf(entries[0] as Entry))]), "...x"].map(
        (line) => Buffer.from(line),
      ),
      refuses: never,
      decode: (bytes) => nothing(parsed(text(bytes))),
    },
    ...rowDecoders(entries),
  ];
}

async function textDecoders(): Promise<Decoder[]> {
  const random = { bytes: (length: number) => new Uint8Array(length).fill(3), fraction: () => 0 };
  const password = await makeAppPassword("laptop", "secret", "2026-01-01", true, random, { n: 1024, r: 8, p: 1 });
  const holder = { host: "h", boot: "b", namespace: "n", nonce: "0".repeat(24), created: "c", pid: 1, started: 2 };
  const keystore = {
    version: 3,
    address: "17c5185167401ed00cf5f5b2fc97d9bbfdb7d025",
    crypto: {
      cipher: "aes-128-ctr",
      cipherparams: { iv: "00".repeat(16) },
      ciphertext: "11".repeat(32),
      mac: "22".repeat(32),
      kdf: "scrypt",
      kdfparams: { dklen: 32, salt: "33".repeat(32), n: 1024, r: 8, p: 1 },
    },
  };
  const xml = [
    '<?xml version="1.0"?><D:propfind xmlns:D="DAV:"><D:prop><D:getetag/><x:y xmlns:x="z"/></D:prop></D:propfind>',
    '<propfind xmlns="DAV:"><allprop/><include><a xml:lang="en">&amp;<![CDATA[t]]></a></include></propfind>',
  ].map((each) => Buffer.from(each));
  const mount = "36 35 98:0 /mnt1 /mnt\\0402 rw,noatime master:1 - fuse.syncline /dev/root rw,errors=continue\n";
  const events = "id: 4\nevent: root\ndata: x\ndata: y\n\n: alive\r\n\r\n";
  return [
    { name: "xml", samples: xml, refuses: refusal, decode: (bytes) => nothing(readXml(bytes)) },
    { name: "propfind", samples: xml, refuses: refusal, decode: (bytes) => nothing(parsePropfind(bytes)) },
    {
      name: "dead-property",
      samples: ['<n0:note xmlns:n0="urn:x">some text</n0:note>', '<a xml:lang="en">&amp;</a>'].map((each) =>
        Buffer.from(each),
      ),
      refuses: never,
      decode: (bytes) => nothing(parseDead(bytes)),
    },
    { name: "if-header", ...of(['<http://h/a> (Not <urn:a> ["b"]) (<urn:c>)'], parseIf, refusal) },
    { name: "range-header", ...of(["bytes=0-4,-5, 9-"], (given) => parseRanges(given, 100), never) },
    { name: "href", ...of(["/a%20b/c/", "http://h/a"], parseHref, refusal) },
    { name: "destination", ...of(["/a%20b/c/", "http://h:80/a"], (given) => parseReference(given, "h"), refusal) },
    {
      name: "master-root",
      ...of([JSON.stringify({ root: link, version: 7 })], (given) => rootFrom(jsonOr(given)), code("store_failed")),
    },
    { name: "cids", ...of([JSON.stringify({ cids: [link, link] })], (given) => cidsIn(jsonOr(given), 10), refusal) },
    { name: "master-target", ...of(["/v1/blocks/x%2Fy?a=b", "http://h/a?b"], parseTarget, refusal) },
    { name: "mount-table", ...of([mount], parseMountTable, never) },
    { name: "locks", ...of([LOCKS], (text) => parseLocks(text, "0:42"), never) },
    { name: "acl", samples: [acl(ACL_TEXT)], decode: (bytes) => nothing(parseAcl(bytes)), refuses: isFsError },
    { name: "owner-map", ...of(["uid 1 2\ngid 3 4\n# x\n", "uid 0 65534"], parseOwnerMap, code("config_invalid")) },
    { name: "mount-place", ...of([PLACE_TOLD], parseMountPlace, never) },
    { name: "handoff", ...of(["45 144", "40 16", "45 144 -1", "45 144 1073741824"], parseHandoff, never) },
    { name: "start-files", ...of(['{"/config.toml":"json = true","map":null}'], parseStartFiles, never) },
    {
      name: "pause",
      samples: [Buffer.from('{"sinceMs":1700000000000,"untilMs":1700000360000}')],
      refuses: never,
      decode: (bytes) => nothing(parsePause(bytes)),
    },
    {
      name: "quota",
      ...of([JSON.stringify({ usedBytes: 1, quotaBytes: 2 })], (given) => parseQuota(jsonOr(given)), never),
    },
    {
      name: "pins",
      samples: [Buffer.from('[["a","b"],[]]')],
      refuses: never,
      decode: (bytes) => nothing(parsePins(bytes)),
    },
    { name: "prices", ...of(["put=0.005,storage=0.02", "list=1 get=2"], parsePrices, code("config_invalid")) },
    { name: "lock-holder", ...of([JSON.stringify(holder)], parseHolder, never) },
    { name: "keystore", ...of([JSON.stringify(keystore)], walletOfKeystore, code("key_invalid")) },
    {
      name: "app-passwords",
      samples: [encodePasswords([password])],
      refuses: code("config_invalid"),
      decode: (bytes) => nothing(decodePasswords(bytes, "file")),
    },
    {
      name: "capabilities",
      ...of(
        [JSON.stringify({ formats: [1], watch: true, maxBlock: 4096, lease: 60 })],
        (given) => parseCapabilities("http://h", jsonOr(given)),
        code("not_supported"),
      ),
    },
    {
      name: "events",
      samples: [Buffer.from(events)],
      refuses: code("limit_exceeded"),
      decode: async (bytes) => drainLater(serverEvents(pieces(bytes))),
    },
  ];
}

/** Inputs that people write: options, addresses, key files, rules of a folder. An attacker may have placed them. */
function commandDecoders(): Decoder[] {
  const usage = code("usage");
  const badAddress = code("bad_address", "not_supported");
  const address = `https://host:80/0x${"a".repeat(40)}/b#${link}`;
  const rules = "# build\n*.o\n/target/\n!keep.o\n**/[a-c]?/x\\ \n";
  const path = ["target", "a.o"].map(nameFromText);
  return [
    { name: "listen-address", ...of(["127.0.0.1:3600", "[::1]:0", "example.org:80"], parseListen, usage) },
    { name: "host-name", ...of(["files.example", "192.0.2.1", "[2001:db8::1]"], parseHostName, usage) },
    {
      name: "mount-call",
      ...of(
        ["file:///b /mnt -o rw,user,x-a=b,cache-size=2GiB -v", 'file:///b /mnt -sn -o noexec,owner="a,b"'],
        (given) => parseMountCall(given.split(" "), MOUNT_OPTIONS),
        usage,
      ),
    },
    { name: "age", ...of(["90d", "45s", "0"], parseAge, never) },
    { name: "rates", ...of(["2 MiB", "08:00,512k 18:00,10M/s 23:00,off"], parseRates, never) },
    { name: "size", ...of(["10 GiB", "512k", "1.5G", "4096"], parseBytes, never) },
    { name: "s3-error", ...of([S3_ERROR], parseError, never) },
    { name: "s3-list", ...of([S3_LIST], parseList, (error) => hasCode(error, "store_failed")) },
    {
      name: "bucket-address",
      ...of(
        [address, "http://h/b", "file:///a/b", "s3://bkt/a?endpoint=http://h:9&style=virtual"],
        parseAddress,
        badAddress,
      ),
    },
    { name: "bucket-address-path", ...of([`http://h/b/c%20d`, address], splitAddress, badAddress) },
    {
      name: "private-key",
      ...of([`0x${"42".repeat(32)}`], (given) => parsePrivateKey(given, "it"), code("key_invalid")),
    },
    { name: "pack-name", ...of([`pack/${"5a".repeat(16)}`], parsePackName, never) },
    { name: "data-file-name", ...of(["17.4"], parseDataFileName, never) },
    { name: "small-file-name", ...of(["small.4.0"], parseSmallName, never) },
    { name: "http-date", ...of(["Sun, 06 Nov 1994 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"], parseHttpDate, never) },
    {
      name: "ignore-rules",
      samples: [Buffer.from(rules)],
      refuses: code("precondition_failed"),
      // The library's regular expressions.
      fixedBytes: 4 << 20,
      decode: async (bytes) => nothing((await parseRules(Buffer.from(bytes).toString("utf8"))).ignores(path, false)),
    },
  ];
}

function of(samples: readonly string[], read: (given: string) => unknown, refuses: (error: unknown) => boolean) {
  return {
    samples: samples.map((each) => Buffer.from(each)),
    decode: (bytes: Uint8Array) => nothing(read(text(bytes))),
    refuses,
  };
}

const CHECK_BYTES = 16;
const PLACE_TOLD = JSON.stringify({
  stateRoot: "/states",
  mount: "/mnt",
  sync: "/synced",
  state: "/state",
  connection: "5a",
});
const MOUNT_OPTIONS = ["cache-size", "owner", "digest"].map((name, at) => ({
  long: `--${name}`,
  short: undefined,
  value: at < 2 ? "value" : undefined,
  choices: [],
  help: "",
}));

function cborOf(value: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> {
  const scalar = fc.oneof(fc.constant(null), fc.boolean(), fc.maxSafeInteger(), fc.string(), fc.uint8Array());
  return fc.oneof(
    { maxDepth: 3 },
    scalar,
    fc.array(value, { maxLength: 4 }),
    fc.dictionary(fc.string(), value, { maxKeys: 4 }),
  );
}

/** A row's value after its links, and the number of links. */
function joinRow({ value, links }: EncodedValue): Uint8Array {
  return Buffer.concat([Buffer.of(links.length), ...links.map(cidToBytes), value]);
}

function splitRow(bytes: Uint8Array): EncodedValue {
  const count = bytes[0] ?? 0;
  const links = Array.from({ length: count }, (_, at) =>
    cidFromBytes(bytes.subarray(1 + at * CID_BYTES, 1 + (at + 1) * CID_BYTES)),
  );
  return { value: bytes.subarray(1 + count * CID_BYTES), links };
}

function joinColumns(columns: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat(columns.flatMap((column) => [Buffer.of(column.length >> 8, column.length & 255), column]));
}

function splitColumns(bytes: Uint8Array): Buffer[] {
  const columns: Buffer[] = [];
  for (let at = 0; at < bytes.length;) {
    const end = at + 2 + (((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0));
    columns.push(Buffer.from(bytes.subarray(at + 2, end)));
    at = end;
  }
  return columns;
}

function journalRecords(): JournalRecord[] {
  const [ino, timeNs] = [9 as Ino, 5n];
  const base = { commit: link, tree: link, seq: 7 as Lamport };
  const row = { ino, id, type: "file", parent, name } as const;
  const object = { ino, id, record: file, baseNames: [{ parent, name }], parents: [ino] };
  const created = { ino, type: "symlink", mode: 0o777, uid: 1, gid: 2, rdev: 0, target: "there", timeNs } as const;
  return [
    { kind: "inode", row },
    ...records.map((record): JournalRecord => ({ kind: "keep", object: { ...object, record } })),
    { kind: "create", parent: ino, name, object: created },
    { kind: "link", ino, parent: ino, name, timeNs },
    { kind: "unlink", ino, parent: ino, name, timeNs },
    { kind: "rename", ino, parent: ino, name, newParent: ino, newName: name, other: 0, exchange: true, timeNs },
    { kind: "attributes", ino, mode: 0o600, uid: 1, gid: 2, mtimeNs: 3n, ctimeNs: 2n ** 70n },
    { kind: "data", ino, offset: 0, length: 5, timeNs },
    { kind: "hole", ino, offset: 0, length: 5, timeNs },
    { kind: "written", ino, offset: 0, bytes: Buffer.from("bytes"), timeNs },
    { kind: "resize", ino, size: 5, timeNs },
    { kind: "xattrs", ino, xattrs: file.xattrs, timeNs },
    { kind: "replaced", ino, record: file, next: row },
    { kind: "inUse", inUse },
    { kind: "forget", ino },
    { kind: "seal", epoch: 4 },
    { kind: "sent", epoch: 4, sent: { commit: link, seq: 8 as Lamport } },
    {
      kind: "rows",
      first: true,
      rows: [{ ino, id, kept: { record: file, names: [{ parent, name }] }, joined: { other: ino, holds: true } }],
    },
    {
      kind: "follow",
      objects: [
        {
          ino,
          row,
          base: { names: [{ parent, name }], conflict: undefined },
          links: [{ parent: ino, name }],
          kept: object,
          hidden: true,
        },
      ],
    },
    { kind: "published", epoch: 4, base },
    { kind: "untouched" },
    { kind: "adopt", base },
  ];
}

function encodeRecordOfJournal(record: JournalRecord): Uint8Array {
  const writer = new ByteWriter(64);
  writeJournalRecord(writer, record);
  return writer.bytes.slice();
}

function segmentOf(payloads: readonly Uint8Array[]): Uint8Array {
  const frames = payloads.slice(0, 4).map((payload, at) => {
    const frame = Buffer.alloc(alignedFrameBytes(FRAME_HEADER_BYTES + payload.length));
    frame.set(payload, FRAME_HEADER_BYTES);
    sealFrame(frame, payload.length, { number: 1 + at, synced: at, salt: 7 });
    return frame;
  });
  return Buffer.concat([segmentHeader({ first: 1, follows: 0, synced: 0, salt: 7 }), ...frames]);
}

/** Reseals the header and the first frame. */
function resealSegment(bytes: Buffer): void {
  if (bytes.length < SEGMENT_HEADER_BYTES + FRAME_HEADER_BYTES) return;
  bytes.writeUInt32LE(crc32(bytes.subarray(0, 32)), 32);
  const frame = bytes.subarray(SEGMENT_HEADER_BYTES);
  const payload = frame.subarray(FRAME_HEADER_BYTES, FRAME_HEADER_BYTES + frame.readUInt32LE(4));
  frame.writeUInt32LE(crc32(payload, crc32(frame.subarray(0, 24))), 24);
}

function readSegment(bytes: Uint8Array): undefined {
  const segment = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const header = readSegmentHeader(segment);
  return drain(findFrames(segment, 0, header && new Set([header.salt])));
}

function smallFile(): Uint8Array {
  const entry = Buffer.alloc(40);
  writeEntryHeader(entry, 9 as Ino, 0, 5);
  entry.write("hello", 32);
  const moved = Buffer.alloc(32);
  writeEntryHeader(moved, 9 as Ino, 0, undefined);
  return Buffer.concat([entry, moved]);
}

/** Reseals the first entry. */
function resealSmallFile(bytes: Buffer): void {
  if (bytes.length >= 32) bytes.writeUInt32LE(crc32(bytes.subarray(0, 24)), 24);
}

function fileOf(bytes: Uint8Array): StoredFile {
  const read = (offset: number, target: Uint8Array) => {
    const part = bytes.subarray(Math.min(offset, bytes.length), offset + target.length);
    target.set(part);
    return part.length;
  };
  const none = () => {};
  return { size: () => bytes.length, read, write: none, sync: async () => {}, syncNow: none, close: none };
}

/** Splits bytes into pieces of any length, as a network may. */
async function* pieces(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  const step = 1 + (bytes.length % 13);
  for (let at = 0; at < bytes.length; at += step * 7) yield bytes.subarray(at, at + step * 7);
}

async function drainLater(items: AsyncIterable<unknown>): Promise<undefined> {
  for await (const item of items) void item;
  return undefined;
}

function jsonOr(given: string): unknown {
  try {
    return JSON.parse(given);
  } catch {
    return undefined;
  }
}
