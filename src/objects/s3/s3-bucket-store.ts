/**
 * The objects of one bucket in S3. Its root has one of two forms, which the object `root` tells (docs/reference/formats.md):
 *
 * - replaced: `root` is the root, replaced by `If-Match`.
 * - numbered: each root is an object of its own, and `root` only hints at the newest (numbered-roots.ts). For servers that
 *   only create safely, and for those that take one write a second for a key. Without a hint, roots are looked for.
 *
 * Whether the server keeps conditions is tested before the first root is written here.
 */
import type { Clock } from "../../base/clock.ts";
import { SynclineError } from "../../base/errors.ts";
import { ROOT_OBJECT } from "../../format/blocks/object-name.ts";
import { decodeRootHint, encodeRootHint, ROOTS_FOLDER } from "../../format/blocks/root-hint.ts";
import {
  type ByteRange,
  type ObjectBody,
  type ObjectInfo,
  type ObjectStore,
  type Polling,
  type PutOptions,
  type PutOutcome,
  putOver,
  type RequestReport,
  type StoredObject,
  type TakePart,
} from "../object-store.ts";
import { NumberedRoots } from "./numbered-roots.ts";
import type { RootForm } from "./probe.ts";
import { returnNumberedRoot } from "./numbered-root-return.ts";
import type { DatedObject, S3ObjectStore } from "./s3-object-store.ts";

export interface S3BucketStoreOptions {
  readonly store: S3ObjectStore;
  readonly clock: Clock;
  /** Default: POLLING. */
  readonly polling?: Polling;
  /** Tests the server thoroughly, and chooses the form of a new bucket's root. Throws `not_supported`. */
  readonly chooseForm: () => Promise<RootForm>;
  /** Tests that the server still keeps the conditions that a form needs. Throws `not_supported`. */
  readonly checkForm: (form: RootForm) => Promise<void>;
}

const POLLING: Polling = { firstMs: 1_000, lastMs: 10_000 };

export class S3BucketStore implements ObjectStore {
  readonly address: string;
  readonly keepsPuts = true;
  readonly polling: Polling;
  readonly #options: S3BucketStoreOptions;
  readonly #store: S3ObjectStore;
  /** Undefined: no root was seen yet. */
  #form: RootForm | undefined;
  #checked: Promise<void> | undefined;
  readonly #numbered: NumberedRoots;

  constructor(options: S3BucketStoreOptions) {
    this.#options = options;
    this.#store = options.store;
    this.#numbered = new NumberedRoots(options.store, options.clock);
    this.address = options.store.address;
    this.polling = options.polling ?? POLLING;
  }

  requests(): RequestReport {
    return this.#store.requests();
  }

  initialize(): Promise<void> {
    return this.#store.initialize();
  }

  async head(name: string): Promise<ObjectInfo | undefined> {
    if (name !== ROOT_OBJECT) return this.#store.head(name);
    const root = await this.get(name);
    return root && { name, size: root.bytes.length, modifiedMs: (root as DatedObject).modifiedMs };
  }

  async get(name: string): Promise<StoredObject | undefined> {
    if (name !== ROOT_OBJECT) return this.#store.get(name);
    const newest = this.#form === "numbered" ? await this.#numbered.newest() : undefined;
    if (newest !== undefined) return newest;
    const object = await this.#store.get(ROOT_OBJECT);
    const hint = object && decodeRootHint(object.bytes);
    if (object !== undefined) this.#form = hint === undefined ? "replaced" : "numbered";
    if (object !== undefined && hint === undefined) return object;
    const root = await this.#numbered.find(hint);
    // Without a hint only the roots themselves tell the form.
    if (root !== undefined) this.#form = "numbered";
    return root;
  }

  async getRanges(name: string, ranges: readonly ByteRange[]): Promise<Uint8Array[]> {
    return this.#store.getRanges(name, ranges);
  }

  async streamRanges(name: string, ranges: readonly ByteRange[], take: TakePart): Promise<void> {
    return this.#store.streamRanges(name, ranges, take);
  }

  async getTail(name: string, length: number): Promise<{ bytes: Uint8Array; size: number }> {
    const root = name === ROOT_OBJECT ? await this.get(name) : undefined;
    if (root === undefined) return this.#store.getTail(name, length);
    return { bytes: root.bytes.slice(-length), size: root.bytes.length };
  }

  async putNew(name: string, body: ObjectBody, options?: PutOptions): Promise<PutOutcome> {
    if (name !== ROOT_OBJECT) return this.#store.putNew(name, body, options);
    const form = await this.#options.chooseForm();
    this.#checked = Promise.resolve();
    // Numbered roots whose hint was lost.
    if (await this.#numbered.areThere()) return { kind: "refused" };
    if (form === "replaced") {
      const outcome = await this.#store.putNew(name, body, options);
      const isHalfMade =
        outcome.kind === "refused" && (await this.get(name)) === undefined && this.#form === "numbered";
      if (isHalfMade) throw begun(this.address);
      return outcome;
    }
    // The hint comes first: it decides between creators who chose different forms.
    const hint = await this.#store.putNew(name, [encodeRootHint(0)], options);
    if (hint.kind === "unknown") return hint;
    if (hint.kind === "refused" && ((await this.get(name)) !== undefined || this.#form === "replaced")) return hint;
    this.#form = "numbered";
    return this.#numbered.createFirst(body, options);
  }

  async putIfMatch(name: string, body: ObjectBody, token: string, options?: PutOptions): Promise<PutOutcome> {
    if (name !== ROOT_OBJECT) {
      if (this.#form !== "numbered") return this.#store.putIfMatch(name, body, token, options);
      // The server may not heed If-Match. Only repairs replace what others may replace, while agents are stopped.
      if ((await this.#store.token(name)) !== token) return { kind: "refused" };
      return this.#store.replace(name, body, options);
    }
    const form = this.#form ?? "replaced";
    await (this.#checked ??= this.#options.checkForm(form).catch((error: unknown) => {
      this.#checked = undefined;
      throw error;
    }));
    if (form === "replaced") return this.#store.putIfMatch(name, body, token, options);
    return this.#numbered.createAfter(token, body, options);
  }

  async returnRoot(body: readonly Uint8Array[], least: number, token: string | undefined): Promise<PutOutcome> {
    return (await returnNumberedRoot(this.#store, body, least, token)) ?? putOver(this, ROOT_OBJECT, body, token);
  }

  settle(): Promise<void> {
    return this.#store.settle();
  }

  async delete(name: string): Promise<void> {
    if (name === ROOT_OBJECT) await this.#numbered.deleteAll();
    await this.#store.delete(name);
  }

  /** Numbered roots appear as one, `root`. */
  async *list(prefix: string): AsyncIterable<ObjectInfo> {
    for await (const object of this.#store.list(prefix)) {
      const shown = object.name === ROOT_OBJECT ? await this.head(ROOT_OBJECT) : object;
      if (shown !== undefined && !shown.name.startsWith(ROOTS_FOLDER)) yield shown;
    }
  }

  now(): Promise<number | undefined> {
    return this.#store.now();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#store[Symbol.asyncDispose]();
  }

  prune(): Promise<void> {
    return this.#numbered.prune();
  }
}

function begun(address: string): SynclineError {
  return new SynclineError("bucket_exists", `A bucket with numbered roots was begun at ${address} and not finished.`, {
    hint: "Finish it with `syncline init ADDRESS --roots numbered`.",
  });
}
