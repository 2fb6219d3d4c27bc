/**
 * What was read of a bucket's packs: footers, manifests, pages of runs and the ends of commit objects, each fetched once.
 * All of it is immutable under its name, except that a repair may give the newest commit object another manifest. It then
 * swaps the root again, so a commit object is remembered for one version of the root.
 */
import { unless } from "../../base/unless.ts";
import { Budget } from "../../base/budget.ts";
import { ByteBoundedMap } from "../../base/byte-bounded-map.ts";
import { mapConcurrent } from "../../base/concurrency.ts";
import { hasCode, SynclineError } from "../../base/errors.ts";
import type { Cid, PackName } from "../../base/ids.ts";
import {
  COMMIT_TAIL_BYTES,
  FOOTER_CACHE_BYTES,
  RUN_CACHE_BYTES,
  RUN_PAGE_BYTES,
  STORE_CONCURRENCY,
} from "../../base/limits.ts";
import { decodeManifest, type LoosePack, type Manifest, type RunReference } from "../../format/blocks/manifest.ts";
import { commitObjectName, runName } from "../../format/blocks/object-name.ts";
import type { RootPointer } from "../../format/blocks/root-object.ts";
import { decodeFooter, footerBytes, footerOffset, type PackFooter, type PackShape } from "../../format/blocks/pack.ts";
import { decodePage, type RunPage } from "../../format/blocks/run.ts";
import { readFooter } from "../../packs/pack-footer.ts";
import { streamRanges, type ByteRange, type ObjectStore, type TakePart } from "../../objects/object-store.ts";

/** The parts of a commit object that matter for placement. */
export interface CommitObject {
  /** The commit object as a pack, which no run covers yet. */
  readonly pack: LoosePack;
  readonly footer: PackFooter;
  readonly manifest: Manifest;
}

/** The number of blocks in the packs as of this commit, including garbage and duplicate copies. */
export function mappedBlocks({ pack, manifest }: Pick<CommitObject, "pack" | "manifest">): number {
  return [pack, ...manifest.loose, ...manifest.runs].reduce((sum, { rows }) => sum + rows, 0);
}

export class PackDirectory {
  readonly #store: ObjectStore;
  readonly #commits = new Map<PackName, RememberedCommit>();
  /** Footers that are being read. */
  readonly #reading = new Map<PackName, Promise<PackFooter>>();
  readonly #readingBytes = new Budget(FOOTER_CACHE_BYTES);
  readonly #footers = new ByteBoundedMap<PackName, PackFooter>(FOOTER_CACHE_BYTES, ({ memoryBytes }) => memoryBytes);
  /** The last bytes of objects: all bytes of a small one, such as the commit object of a small edit. */
  readonly #tails = new ByteBoundedMap<string, Tail>(TAIL_CACHE_BYTES, ({ bytes }) => bytes.length);
  /** By run and page. */
  readonly #pages = new ByteBoundedMap<string, RunPage>(RUN_CACHE_BYTES, () => RUN_PAGE_BYTES);

  constructor(store: ObjectStore) {
    this.#store = store;
  }

  /** `version` is the root's; undefined: this is not known to be a root. Throws `object_not_found`, `store_corrupt`. */
  commitObject(commit: Cid, version?: number): Promise<CommitObject> {
    const name = commitObjectName(commit);
    const known = this.#commits.get(name);
    if (known !== undefined && (version === undefined || version === known.version)) return known.object;
    const loading = { version, object: this.#readCommitObject(name) };
    this.#commits.set(name, loading);
    loading.object.catch(() => {
      if (this.#commits.get(name) === loading) this.#commits.delete(name);
    });
    return loading.object;
  }

  /** Throws `object_not_found`, `store_corrupt`. */
  async footer(pack: LoosePack): Promise<PackFooter> {
    const { name } = pack;
    const known = this.#footers.get(name);
    if (known !== undefined) return known;
    const reading = remembered(this.#reading, name, () => this.#readFooter(pack));
    const footer = await reading;
    // Unless all was forgotten meanwhile.
    if (this.#reading.get(name) === reading) this.addFooter(name, footer);
    return footer;
  }

  /** The footer if it is in memory. */
  footerAtHand(name: PackName): PackFooter | undefined {
    return this.#footers.get(name);
  }

  /** Reads the newest loose packs mapped as of this commit that have not been read yet. Throws as `commitObject`. */
  async readAhead({ commit, version }: RootPointer): Promise<void> {
    const { manifest } = await this.commitObject(commit, version);
    const newest = manifest.loose.slice(-READ_AHEAD_PACKS).filter(({ name }) => !this.#footers.has(name));
    await mapConcurrent(newest, STORE_CONCURRENCY, async (pack) => void (await this.footer(pack)));
  }

  /** Takes over what an upload already knows. */
  addCommitObject(object: CommitObject, version: number): void {
    this.#commits.set(object.pack.name, { version, object: Promise.resolve(object) });
    this.addFooter(object.pack.name, object.footer);
  }

  addFooter(name: PackName, footer: PackFooter): void {
    this.#reading.delete(name);
    this.#footers.set(name, footer);
  }

  forgetFooter(name: PackName): void {
    for (const known of [this.#reading, this.#footers]) known.delete(name);
  }

  /** Forgets all commit objects except these, and the footers of all packs except theirs and those that they list. */
  keepOnly(objects: readonly CommitObject[]): void {
    const commits = new Set(objects.map(({ pack }) => pack.name));
    const packs = new Set([...commits, ...objects.flatMap(({ manifest }) => manifest.loose.map(({ name }) => name))]);
    for (const name of this.#commits.keys()) if (!commits.has(name)) this.#commits.delete(name);
    for (const known of [this.#reading, this.#footers]) {
      for (const name of known.keys()) if (!packs.has(name)) known.delete(name);
    }
  }

  clear(): void {
    for (const known of [this.#commits, this.#reading, this.#footers, this.#tails, this.#pages]) known.clear();
  }

  /** Several pages of a run by their numbers. Throws `object_not_found`, `store_corrupt`. */
  async pages(run: RunReference, wanted: readonly number[]): Promise<Map<number, RunPage>> {
    const found = new Map<number, RunPage>();
    const absent: number[] = [];
    for (const index of wanted) {
      const page = this.#pages.get(pageKey(run, index));
      if (page === undefined) absent.push(index);
      else found.set(index, page);
    }
    const ranges = absent.map((index) => ({ offset: index * RUN_PAGE_BYTES, length: RUN_PAGE_BYTES }));
    const read = ranges.length === 0 ? [] : await this.#store.getRanges(runName(run.id), ranges);
    for (const [at, index] of absent.entries()) {
      const bytes = read[at] ?? new Uint8Array();
      const page = await intact(runName(run.id), () => decodePage(bytes, index, run.rows));
      found.set(index, page);
    }
    for (const [index, page] of found) this.#pages.set(pageKey(run, index), page);
    return found;
  }

  /** Ranges of an object, from memory where they are. Throws as ObjectStore.getRanges. */
  async getRanges(name: string, ranges: readonly ByteRange[]): Promise<Uint8Array[]> {
    return this.#fromTail(name, ranges) ?? this.#store.getRanges(name, ranges);
  }

  /** As ObjectStore.streamRanges. */
  async streamRanges(name: string, ranges: readonly ByteRange[], take: TakePart): Promise<void> {
    const here = this.#fromTail(name, ranges);
    if (here === undefined) return streamRanges(this.#store, name, ranges, take);
    for (const [range, bytes] of here.entries()) take(range, 0, bytes);
  }

  #fromTail(name: string, ranges: readonly ByteRange[]): Uint8Array[] | undefined {
    const tail = this.#tails.get(name);
    if (tail === undefined) return undefined;
    const start = tail.size - tail.bytes.length;
    const outside = ranges.some(({ offset, length }) => offset < start || offset + length > tail.size);
    if (outside) return undefined;
    return ranges.map(({ offset, length }) => new Uint8Array(tail.bytes.subarray(offset - start).subarray(0, length)));
  }

  async #readCommitObject(name: PackName): Promise<CommitObject> {
    const readEnd = (length: number) => this.#store.getTail(name, length);
    const { footer, manifest, shape, end } = await intact(name, () => readFooter(readEnd, COMMIT_TAIL_BYTES));
    this.#tails.set(name, { bytes: end, size: shape.size });
    this.addFooter(name, footer);
    return { pack: { name, ...shape }, footer, manifest: await intact(name, () => decodeManifest(manifest)) };
  }

  /** Reads a small object whole: after its footer, callers soon want its blocks. */
  async #readFooter(pack: LoosePack): Promise<PackFooter> {
    const { name, size } = pack;
    using _held = await this.#readingBytes.hold(footerBytes(pack));
    const whole = size > COMMIT_TAIL_BYTES ? undefined : await this.#whole(name, size);
    const { footer } = await this.#decode(pack, whole ?? new Uint8Array());
    if (whole !== undefined) this.#tails.set(name, { bytes: whole, size });
    return footer;
  }

  /** Undefined if it cannot be read in one piece: a bad sector among its blocks does not hide its footer. */
  async #whole(name: string, size: number): Promise<Uint8Array | undefined> {
    return unless("block_corrupt", async () => (await this.#store.getRanges(name, [{ offset: 0, length: size }]))[0]);
  }

  /** `end` holds bytes of the object's end that are already here; reads more if they do not reach back to the footer. */
  async #decode(pack: LoosePack, end: Uint8Array): Promise<{ footer: PackFooter; manifest: Uint8Array }> {
    const length = footerBytes(pack);
    const [bytes = new Uint8Array()] =
      end.length >= length
        ? [new Uint8Array(end.subarray(end.length - length))]
        : await this.#store.getRanges(pack.name, [{ offset: footerOffset(pack), length }]);
    return intact(pack.name, () => decodeFooter(bytes, shapeOf(pack)));
  }
}

/** How many packs to read ahead; older ones are read when needed. */
const READ_AHEAD_PACKS = 32;
/** For ends of commit objects, and small ones whole. */
const TAIL_CACHE_BYTES = 1024 * 1024;

interface RememberedCommit {
  /** Of the root; undefined: the commit was read as no root. */
  readonly version: number | undefined;
  readonly object: Promise<CommitObject>;
}

interface Tail {
  readonly bytes: Uint8Array;
  /** Of the whole object. */
  readonly size: number;
}

function shapeOf({ size, rows, manifestBytes }: LoosePack): PackShape {
  return { size, rows, manifestBytes };
}

function pageKey(run: RunReference, index: number): string {
  return `${run.id}/${index}`;
}

/** The cached promise, or a new one. A failed one is forgotten. */
function remembered<Key, Value>(cache: Map<Key, Promise<Value>>, key: Key, load: () => Promise<Value>): Promise<Value> {
  const known = cache.get(key);
  if (known !== undefined) return known;
  const loading = load();
  cache.set(key, loading);
  loading.catch(() => {
    if (cache.get(key) === loading) cache.delete(key);
  });
  return loading;
}

/** Turns a decoder's error into one that names the object. */
async function intact<Value>(object: string, decode: () => Value | Promise<Value>): Promise<Value> {
  try {
    return await decode();
  } catch (cause) {
    if (!hasCode(cause, "format_invalid")) throw cause;
    throw new SynclineError("store_corrupt", `Object ${object} is damaged: ${cause.message}`, {
      hint: "Run `syncline verify --repair` on the bucket.",
      cause,
    });
  }
}
