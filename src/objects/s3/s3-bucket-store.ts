/**
 * The objects of one bucket in S3. Its root has one of two forms, which the object `root` tells (docs/reference/formats.md):
 *
 * - replaced: `root` is the root, replaced by `If-Match`.
 * - numbered: each root is an object `roots/<number>` that is created and never changed; `root` only hints at a number. For
 *   servers that only create safely, and for those that take one write a second for a key.
 *
 * Whether the server keeps conditions is tested before the first root is written here.
 */
import type { Clock } from "../../base/clock.ts";
import { SynclineError } from "../../base/errors.ts";
import { ROOT_OBJECT } from "../../format/blocks/object-name.ts";
import { decodeRootHint, encodeRootHint, numberedRootName, ROOTS_FOLDER } from "../../format/blocks/root-hint.ts";
import type {
  ByteRange,
  TakePart,
  ObjectBody,
  ObjectInfo,
  ObjectStore,
  Polling,
  PutOptions,
  PutOutcome,
  RequestReport,
  StoredObject,
} from "../object-store.ts";
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
/** The hint is written every few roots: some servers allow one write per second and key. */
const HINT_STEP = 8;
/** After this long without a read, the remembered roots may have been deleted. */
const GAP_MS = 60 * 60 * 1000;
/** Older numbers may be deleted: see `prune`. */
const KEPT_MS = 48 * 60 * 60 * 1000;
const KEPT_NUMBERS = 1_000;

interface NumberedRoot {
  readonly number: number;
  readonly object: DatedObject;
}

export class S3BucketStore implements ObjectStore {
  readonly address: string;
  readonly polling: Polling;
  readonly #options: S3BucketStoreOptions;
  readonly #store: S3ObjectStore;
  /** Undefined: no root was seen yet. */
  #form: RootForm | undefined;
  #checked: Promise<void> | undefined;
  #last: NumberedRoot | undefined;
  /** Wall-clock time of the last look: it goes on while the machine sleeps. */
  #lookedMs = 0;

  constructor(options: S3BucketStoreOptions) {
    this.#options = options;
    this.#store = options.store;
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
    if (this.#form === "numbered" && this.#last !== undefined && !this.#wasAway()) return this.#newest(this.#last);
    const object = await this.#store.get(ROOT_OBJECT);
    const hint = object && decodeRootHint(object.bytes);
    if (object !== undefined) this.#form = hint === undefined ? "replaced" : "numbered";
    return hint === undefined ? object : this.#newest(await this.#at(hint));
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
    return this.#create(0, body, options);
  }

  async putIfMatch(name: string, body: ObjectBody, token: string, options?: PutOptions): Promise<PutOutcome> {
    if (name !== ROOT_OBJECT) {
      // Everything but the root has one writer.
      if (this.#form === "numbered") return this.#store.replace(name, body, options);
      return this.#store.putIfMatch(name, body, token, options);
    }
    const form = this.#form ?? "replaced";
    await (this.#checked ??= this.#options.checkForm(form).catch((error: unknown) => {
      this.#checked = undefined;
      throw error;
    }));
    if (form === "replaced") return this.#store.putIfMatch(name, body, token, options);
    const base = this.#last?.object.token === token ? this.#last : undefined;
    return base === undefined ? { kind: "refused" } : this.#create(base.number, body, options, base);
  }

  async returnRoot(body: readonly Uint8Array[], least: number, token: string | undefined): Promise<PutOutcome> {
    const outcome = await returnNumberedRoot(this.#store, body, least, token);
    if (outcome !== undefined) return outcome;
    return token === undefined ? this.putNew(ROOT_OBJECT, body) : this.putIfMatch(ROOT_OBJECT, body, token);
  }

  settle(): Promise<void> {
    return this.#store.settle();
  }

  async delete(name: string): Promise<void> {
    if (name === ROOT_OBJECT) {
      for (const root of await this.#numbered()) await this.#store.delete(root.name);
      this.#last = undefined;
    }
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

  /**
   * Deletes numbered roots that nobody needs: far behind the newest, and so old that whoever slept on one looks for newer
   * ones before it counts what it created (`#create`). Lowest first, so that no gap opens below one that is still there.
   */
  async prune(): Promise<void> {
    const root = await this.#store.get(ROOT_OBJECT);
    const hint = root && decodeRootHint(root.bytes);
    const now = await this.#store.now();
    if (hint === undefined || now === undefined) return;
    // Newcomers start at the hint: it counts even if it lags.
    const kept = numberedRootName(Math.max(0, hint - KEPT_NUMBERS));
    for (const { name, modifiedMs } of await this.#numbered()) {
      if (name < kept && now - modifiedMs > KEPT_MS) await this.#store.delete(name);
    }
  }

  #wasAway(): boolean {
    return Math.abs(this.#nowMs() - this.#lookedMs) > GAP_MS;
  }

  #nowMs(): number {
    return Number(this.#options.clock.nowNs() / 1_000_000n);
  }

  /** The root of the hint's number, or of the newest number that is listed if that one is gone. */
  async #at(hint: number): Promise<NumberedRoot | undefined> {
    if (hint === 0) return undefined;
    if (this.#last !== undefined && this.#last.number >= hint) return this.#last;
    const object = await this.#store.get(numberedRootName(hint));
    if (object !== undefined) return { number: hint, object };
    const newest = (await this.#numbered()).at(-1)?.name;
    const listed = newest === undefined ? undefined : await this.#store.get(newest);
    if (newest === undefined || listed === undefined) throw lost(this.address, hint);
    return { number: Number(newest.slice(ROOTS_FOLDER.length)), object: listed };
  }

  /** Goes on from a root to the newest. */
  async #newest(from: NumberedRoot | undefined): Promise<StoredObject | undefined> {
    const lookedMs = this.#nowMs();
    let last = from;
    for (;;) {
      const number = (last?.number ?? 0) + 1;
      const object = await this.#store.get(numberedRootName(number));
      if (object === undefined) break;
      last = { number, object };
    }
    this.#note(last);
    // The time before the look: the machine may have slept in it.
    this.#lookedMs = lookedMs;
    return last === undefined ? undefined : (this.#last ?? last).object;
  }

  /** Creates the root after `number`. */
  async #create(number: number, body: ObjectBody, options?: PutOptions, base?: NumberedRoot): Promise<PutOutcome> {
    const next = number + 1;
    const chunks: Uint8Array[] = [];
    for await (const chunk of body) chunks.push(chunk);
    const outcome = await this.#store.putNew(numberedRootName(next), chunks, options);
    if (outcome.kind !== "stored") return outcome;
    try {
      if (base !== undefined && (await this.#slept(base))) {
        await this.#store.delete(numberedRootName(next));
        this.#last = undefined;
        // Ours may have counted before it was deleted with its base: the history tells.
        return { kind: "unknown", cause: new Error("the root was created long after its base") };
      }
      if (next % HINT_STEP === 0) await this.#hint(next);
      const { token } = outcome;
      const modifiedMs = (await this.#store.now()) ?? 0;
      if (token !== undefined)
        this.#note({ number: next, object: { bytes: Buffer.concat(chunks), token, modifiedMs } });
      return outcome;
    } catch (cause) {
      return { kind: "unknown", cause };
    }
  }

  /** Looks run beside each other: an older one must not hide what a newer one found. */
  #note(root: NumberedRoot | undefined): void {
    if (root !== undefined && root.number >= (this.#last?.number ?? 0)) this.#last = root;
  }

  /**
   * Whether the number that was just created is one that others had used and deleted: the lowest go first, so the base is
   * gone, too. A creation whose answer came late is not: its base is there, or is about to be deleted as it is itself.
   */
  async #slept({ number, object }: NumberedRoot): Promise<boolean> {
    const now = await this.#store.now();
    if (now !== undefined && now - object.modifiedMs < KEPT_MS / 2) return false;
    const names = (await this.#numbered()).map(({ name }) => name);
    return !names.includes(numberedRootName(number)) && names.some((name) => name > numberedRootName(number + 1));
  }

  /** All numbered roots, lowest first. */
  async #numbered(): Promise<ObjectInfo[]> {
    const all: ObjectInfo[] = [];
    for await (const object of this.#store.list(ROOTS_FOLDER)) all.push(object);
    return all.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** Only a hint: what goes wrong here costs newcomers some requests. */
  async #hint(number: number): Promise<void> {
    await this.#store.replace(ROOT_OBJECT, [encodeRootHint(number)]).catch(() => {});
  }
}

function begun(address: string): SynclineError {
  return new SynclineError("bucket_exists", `A bucket with numbered roots was begun at ${address} and not finished.`, {
    hint: "Finish it with `syncline init ADDRESS --roots numbered`.",
  });
}

function lost(address: string, number: number): SynclineError {
  return new SynclineError(
    "arbiter_unreachable",
    `The bucket at ${address} has lost its root: none from number ${number} on is there.`,
    {
      hint: "Put the objects under roots/ back, or run `syncline verify --repair`.",
    },
  );
}
