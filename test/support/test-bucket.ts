/** Buckets in memory with certified devices, and their trees as plain values. */
import { createHash } from "node:crypto";
import type { Clock } from "../../src/base/clock.ts";
import { systemClock } from "../../src/base/clock.ts";
import type { Cid, FileId } from "../../src/base/ids.ts";
import { ROOT_ID } from "../../src/base/ids.ts";
import { silentLog } from "../../src/base/log.ts";
import { nameToText } from "../../src/base/names.ts";
import type { Random } from "../../src/base/random.ts";
import { Bucket } from "../../src/bucket/bucket.ts";
import { listDirectory, lookup } from "../../src/fstree/fs-reader.ts";
import type { TreeObject } from "../../src/fstree/fs-reader.ts";
import type { PublishContext } from "../../src/bucket/publish.ts";
import type { BucketRemote } from "../../src/bucket/remote.ts";
import { ChunkCache } from "../../src/content/chunk-cache.ts";
import { readContent } from "../../src/content/read.ts";
import { createDeviceKey } from "../../src/crypto/device-key.ts";
import type { WalletSigner } from "../../src/crypto/wallet.ts";
import { walletSigner } from "../../src/crypto/wallet.ts";
import { signCertificate } from "../../src/format/commits/certificate.ts";
import { isLinked } from "../../src/format/blocks/linked-value.ts";
import { NodeStore } from "../../src/tree/node-store.ts";
import { noise } from "./bytes.ts";

export const OWNER: WalletSigner = walletSigner(new Uint8Array(32).fill(7));
export const NOT_AFTER = 4_000_000_000;

/** Repeatable randomness for up to 1,000 draws; then it overlaps the next seed's. */
export function seededRandom(seed: number): Random {
  let draws = seed * 1000;
  return { bytes: (length) => noise(length, ++draws), fraction: () => (noise(4, ++draws)[3] ?? 0) / 256 };
}

/** Repeatable randomness for any number of draws: seeds never share a draw, as ids of long runs require. */
export function seededStream(seed: number): Random {
  let draws = 0;
  const bytes = (length: number) => {
    const hash = createHash("shake256", { outputLength: length });
    return new Uint8Array(hash.update(`${seed} ${++draws}`).digest());
  };
  return { bytes, fraction: () => Buffer.from(bytes(6)).readUIntBE(0, 6) / 2 ** 48 };
}

/** A clock whose sleeps end at once. */
export const hurriedClock: Clock = { ...systemClock, sleep: async () => {} };

export async function createBucket(
  remote: BucketRemote,
  seed = 1,
  clock = systemClock,
  owner = OWNER,
): Promise<Bucket> {
  const random = seededRandom(seed);
  const device = createDeviceKey(random);
  const root = { mode: 0o755, uid: 0, gid: 0 };
  await Bucket.create(remote, { owner, device, notAfter: NOT_AFTER, clock, random, ...root });
  return openBucket(remote);
}

export function openBucket(remote: BucketRemote): Promise<Bucket> {
  return Bucket.open(remote, { blocks: remote.blocks });
}

/** A new device on this bucket. */
export async function newWriter(bucket: Bucket, seed: number, random = seededRandom(seed)): Promise<PublishContext> {
  const device = createDeviceKey(random);
  const certificate = await signCertificate(device, bucket.genesis.cid, NOT_AFTER, OWNER);
  return { bucket, writer: { device, certificate }, clock: hurriedClock, random, log: silentLog };
}

export function nodesOf(bucket: Bucket): NodeStore {
  return new NodeStore(bucket.blocks, { capacityBytes: 16 * 1024 * 1024 });
}

/** Every path of a tree → a file's text, "-> target", "dir", or the type. */
export async function pathsOf(bucket: Bucket, tree: Cid): Promise<Record<string, string>> {
  const paths: Record<string, string> = {};
  for await (const { path, text } of walk(bucket, tree, nodesOf(bucket), ROOT_ID, "")) paths[path] = text;
  return paths;
}

/** As `pathsOf`, with the id of each path's object. */
export async function objectsOf(bucket: Bucket, tree: Cid): Promise<Map<string, { text: string; id: FileId }>> {
  const objects = new Map<string, { text: string; id: FileId }>();
  for await (const { path, text, id } of walk(bucket, tree, nodesOf(bucket), ROOT_ID, ""))
    objects.set(path, { text, id });
  return objects;
}

async function* walk(
  bucket: Bucket,
  tree: Cid,
  nodes: NodeStore,
  directory: FileId,
  prefix: string,
): AsyncGenerator<{ path: string; text: string; id: FileId }> {
  for await (const { name } of listDirectory(nodes, tree, directory)) {
    const object = await lookup(nodes, tree, { parent: directory, name });
    if (object === undefined) throw new Error("a listed name leads nowhere");
    const path = prefix + nameToText(name);
    yield { path, text: await textOf(bucket, object), id: object.id };
    if (object.record.type === "directory") yield* walk(bucket, tree, nodes, object.id, `${path}/`);
  }
}

export async function textOf(bucket: Bucket, { record }: TreeObject): Promise<string> {
  if (record.type === "directory") return "dir";
  if (record.type === "symlink") return `-> ${isLinked(record.target) ? record.target.linked : record.target}`;
  if (record.type !== "file") return record.type;
  const source = new ChunkCache(bucket.blocks, { capacityBytes: 1 << 20 });
  return Buffer.from(await readContent(source, record.content, record.size, 0, record.size)).toString();
}
