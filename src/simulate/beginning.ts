/**
 * What histories begin with: a bucket that was just made, and devices that may write to it. It is made once for many histories, because
 * the signatures of wallets take longer than most of what happens in one; all of them are checked, each once.
 */
import { BoundedMap } from "../base/bounded-map.ts";
import type { Cid } from "../base/ids.ts";
import { Bucket } from "../bucket/bucket.ts";
import type { BucketChecks } from "../bucket/bucket.ts";
import { PackedRemote } from "../bucket/packed/packed-remote.ts";
import type { Writer } from "../bucket/publish/next-commit.ts";
import { createDeviceKey } from "../crypto/device-key.ts";
import { walletSigner } from "../crypto/wallet.ts";
import { decodeCertificate, signCertificate } from "../format/certificate.ts";
import { cidOf } from "../format/cid.ts";
import { verifyCommit } from "../format/commit.ts";
import { decodeGenesis } from "../format/genesis.ts";
import type { Genesis } from "../format/genesis.ts";
import { MemoryObjectStore } from "../objects/memory-object-store.ts";
import type { BaseRoot } from "../overlay/journal-record.ts";
import { seededRandom } from "./seeded-random.ts";
import { Timeline } from "./timeline.ts";

export class Beginning {
  readonly genesis: Genesis;
  /** The bucket's first root. */
  readonly root: BaseRoot;
  readonly checks: BucketChecks;
  readonly #made: MemoryObjectStore;
  readonly #writers = new Map<number, Promise<Writer>>();

  private constructor(made: MemoryObjectStore, bucket: Bucket, root: BaseRoot, checks: BucketChecks) {
    this.#made = made;
    this.genesis = bucket.genesis;
    this.root = root;
    this.checks = checks;
  }

  static async make(): Promise<Beginning> {
    const made = new MemoryObjectStore();
    const [clock, random] = [new Timeline(), seededRandom(1)];
    const remote = new PackedRemote(made, { clock, random });
    const device = createDeviceKey(random);
    const rights = { mode: 0o755, uid: 0, gid: 0 };
    await Bucket.create(remote, { owner: OWNER, device, notAfter: NOT_AFTER, clock, random, ...rights });
    const checks = { genesis: once(decodeGenesis), certificate: once(decodeCertificate), commit: commitsOnce() };
    const bucket = await Bucket.open(remote, { blocks: remote.blocks, checks });
    const { cid: commit, body } = (await bucket.head()).commit;
    return new Beginning(made, bucket, { commit, tree: body.tree, seq: body.seq }, checks);
  }

  /** A store that holds the bucket, and that nobody else has. */
  async store(nowMs?: () => number): Promise<MemoryObjectStore> {
    const copy = new MemoryObjectStore("memory://bucket", nowMs);
    for await (const { name } of this.#made.list("")) {
      const object = await this.#made.get(name);
      if (object !== undefined) await copy.putNew(name, [object.bytes]);
    }
    return copy;
  }

  /** Of each number the same device. */
  writer(number: number): Promise<Writer> {
    const known = this.#writers.get(number) ?? certified(number, this.genesis.cid);
    this.#writers.set(number, known);
    return known;
  }
}

async function certified(number: number, genesis: Cid): Promise<Writer> {
  const device = createDeviceKey(seededRandom(number));
  return { device, certificate: await signCertificate(device, genesis, NOT_AFTER, OWNER) };
}

/** Decodes equal bytes once. */
function once<Value>(decode: (bytes: Uint8Array) => Value): (bytes: Uint8Array) => Value {
  const decoded = new Map<Cid, Value>();
  return (bytes) => {
    const cid = cidOf("dag-cbor", bytes);
    const value = decoded.get(cid) ?? decode(bytes);
    decoded.set(cid, value);
    return value;
  };
}

/** Verifies each commit once, although every machine reads it. */
function commitsOnce(): BucketChecks["commit"] {
  const verified = new BoundedMap<Cid, Cid>(COMMITS_REMEMBERED);
  return (commit, certificate) => {
    if (verified.get(commit.cid) === certificate.cid) return;
    verifyCommit(commit, certificate);
    verified.set(commit.cid, certificate.cid);
  };
}

const COMMITS_REMEMBERED = 1_000;
const OWNER = walletSigner(new Uint8Array(32).fill(7));
const NOT_AFTER = 4_000_000_000;
