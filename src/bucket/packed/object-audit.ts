/**
 * Checks a bucket's objects below commits and trees: the genesis, the root, manifests, runs, footers, and every block against
 * its hash.
 * bucket/verify checks what the trees reach.
 */
import { mapConcurrent } from "../../base/concurrency.ts";
import { isDamage } from "../../base/errors.ts";
import type { Cid, PackName } from "../../base/ids.ts";
import { PACK_MAX_BYTES } from "../../base/limits.ts";
import { cidFromDigest } from "../../format/blocks/cid.ts";
import type { LoosePack, RunReference } from "../../format/blocks/manifest.ts";
import { decodeLease } from "../../format/commits/lease.ts";
import {
  BASES_FOLDER,
  commitObjectName,
  GENESIS_OBJECT,
  LEASE_FOLDER,
  ROOT_OBJECT,
  runName,
} from "../../format/blocks/object-name.ts";
import { PACK_TAIL_BYTES, type PackFooter } from "../../format/blocks/pack.ts";
import { decodeBases, decodeRoot } from "../../format/blocks/root-object.ts";
import type { RunRow } from "../../format/blocks/run.ts";
import type { ObjectStore } from "../../objects/object-store.ts";
import { badRows, type PackBytes, packInMemory } from "../../packs/block-check.ts";
import { readFooter } from "../../packs/pack-footer.ts";
import { genesisDamage, genesisLinkedIn } from "./genesis-object.ts";
import { type CommitObject, PackDirectory } from "./pack-directory.ts";
import { rowsOfRun } from "./run-merge.ts";

/** A finding of an audit. A value, because the audit continues after it. */
export interface ObjectDamage {
  readonly object: string;
  /**
   * The affected block, if any. Packs know digests only, so this CID says "raw" whatever the block's own says: compare by
   * `digestKey`.
   */
  readonly cid: Cid | undefined;
  /** A sentence for people. */
  readonly what: string;
}

export interface ObjectAudit {
  readonly damage: readonly ObjectDamage[];
  readonly objects: number;
  readonly blocks: number;
  readonly bytes: number;
}

export interface AuditOptions {
  /** Whether to read and hash every block; otherwise checks only footers, manifests and runs. Default true. */
  readonly blocks?: boolean;
  readonly progress?: (done: { readonly objects: number; readonly of: number; readonly bytes: number }) => void;
}

/**
 * Checks everything that the newest root maps. Memory: 40 bytes a block. Throws `store_unreachable`; damaged or missing
 * objects are in the result.
 */
export async function auditObjects(
  remote: { readonly store: ObjectStore },
  options: AuditOptions = {},
): Promise<ObjectAudit> {
  const audit = new Audit(remote.store, options);
  const object = await audit.newestCommitObject();
  if (object !== undefined) await audit.checkPlacement(object);
  await audit.checkClaims();
  return audit.result();
}

const UNREAD = "has bytes that the disk cannot read";
/** Packs that are read at once: PACK_MAX_BYTES of memory each. */
const PACKS_AT_ONCE = 2;

class Audit {
  readonly #store: ObjectStore;
  readonly #options: AuditOptions;
  readonly #directory: PackDirectory;
  readonly #damage: ObjectDamage[] = [];
  readonly #footers = new Map<PackName, PackFooter>();
  #objects = 0;
  #blocks = 0;
  #bytes = 0;

  constructor(store: ObjectStore, options: AuditOptions) {
    this.#store = store.salvaging?.((name) => this.#unread(name)) ?? store;
    this.#options = options;
    this.#directory = new PackDirectory(this.#store);
  }

  result(): ObjectAudit {
    return { damage: this.#damage, objects: this.#objects, blocks: this.#blocks, bytes: this.#bytes };
  }

  async newestCommitObject(): Promise<CommitObject | undefined> {
    const pointer = await this.#surviving(ROOT_OBJECT, async () => {
      const root = await this.#store.get(ROOT_OBJECT);
      if (root === undefined) this.#report(ROOT_OBJECT, "is missing");
      return root && decodeRoot(root.bytes);
    });
    const object =
      pointer &&
      (await this.#surviving(commitObjectName(pointer.commit), () => this.#directory.commitObject(pointer.commit)));
    await this.#checkGenesis(pointer && object && (await genesisLinkedIn(this.#directory, object, pointer.commit)));
    return object;
  }

  async checkPlacement({ pack, manifest }: CommitObject): Promise<void> {
    const packs = new Map<PackName, LoosePack | undefined>(
      [pack, ...manifest.loose].map((loose) => [loose.name, loose]),
    );
    for (const run of manifest.runs) {
      await this.#eachRow(run, ({ pack: name }) => void (packs.has(name) || packs.set(name, undefined)));
    }
    await mapConcurrent([...packs], PACKS_AT_ONCE, async ([name, loose]) => {
      await this.#checkPack(name, loose);
      this.#objects++;
      this.#options.progress?.({ objects: this.#objects, of: packs.size, bytes: this.#bytes });
    });
    for (const run of manifest.runs) await this.#checkRun(run);
  }

  /** Checks leases and bases: an unreadable one holds collections back. */
  async checkClaims(): Promise<void> {
    for (const [folder, decode] of [[LEASE_FOLDER, decodeLease] as const, [BASES_FOLDER, decodeBases] as const]) {
      for await (const { name } of this.#store.list(folder)) {
        await this.#surviving(name, async () => {
          const object = await this.#store.get(name);
          if (object !== undefined) decode(object.bytes);
        });
      }
    }
  }

  async #checkGenesis(linked: Cid | undefined): Promise<void> {
    const wrong = await this.#surviving(GENESIS_OBJECT, () => genesisDamage(this.#store, linked));
    if (wrong !== undefined) this.#report(GENESIS_OBJECT, wrong);
  }

  async #checkPack(name: PackName, loose: LoosePack | undefined): Promise<void> {
    const whole = this.#options.blocks !== false;
    await this.#surviving(name, async () => {
      const readEnd = (length: number) => this.#store.getTail(name, length);
      const { footer, shape, end } = await readFooter(readEnd, whole ? PACK_MAX_BYTES : PACK_TAIL_BYTES);
      this.#footers.set(name, footer);
      if (loose !== undefined && (loose.size !== shape.size || loose.rows !== shape.rows)) {
        this.#report(name, "differs from the manifest in size or row count");
      }
      if (whole) await this.#checkBlocks(name, footer, packInMemory(end));
    });
  }

  async #checkBlocks(name: PackName, footer: PackFooter, pack: PackBytes): Promise<void> {
    this.#blocks += footer.count;
    const bad = await badRows(pack, [...footer], (bytes) => (this.#bytes += bytes));
    for (const { row, why } of bad) this.#report(name, why, cidFromDigest("raw", row.digest));
  }

  /** Every row of a run must agree with the footer of the block's pack. */
  async #checkRun(run: RunReference): Promise<void> {
    this.#objects++;
    await this.#eachRow(run, ({ digest, pack, offset, length }) => {
      const footer = this.#footers.get(pack);
      const row = footer?.find(digest);
      if (footer === undefined || (row?.offset === offset && row.length === length)) return;
      this.#report(runName(run.id), `gives a wrong location in ${pack} for a block`, cidFromDigest("raw", digest));
    });
  }

  async #eachRow(run: RunReference, visit: (row: RunRow) => void): Promise<void> {
    await this.#surviving(runName(run.id), async () => {
      for await (const row of rowsOfRun(this.#directory, run)) visit(row);
    });
  }

  #unread(object: string): void {
    const isKnown = this.#damage.some((damage) => damage.object === object && damage.what === UNREAD);
    if (!isKnown) this.#report(object, UNREAD);
  }

  #report(object: string, what: string, cid?: Cid): void {
    this.#damage.push({ object, cid, what });
  }

  /** Notes what is missing or damaged; rethrows when the store is unreachable. */
  async #surviving<Value>(object: string, work: () => Promise<Value>): Promise<Value | undefined> {
    try {
      return await work();
    } catch (cause) {
      if (!isDamage(cause)) throw cause;
      const known = this.#damage.some((damage) => damage.object === object && damage.cid === undefined);
      if (!known) this.#report(object, cause.code === "object_not_found" ? "is missing" : cause.message);
      return undefined;
    }
  }
}
