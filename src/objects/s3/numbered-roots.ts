/**
 * Numbered roots: each root is an object `roots/<number>` that is created and never changed; the object `root` only hints at
 * a number. The hint may lag, and it may be lost: then the roots are listed.
 */
import type { Clock } from "../../base/clock.ts";
import { SynclineError } from "../../base/errors.ts";
import { ROOT_OBJECT } from "../../format/blocks/object-name.ts";
import {
  decodeRootHint,
  encodeRootHint,
  numberedRootName,
  numberOfRoot,
  ROOTS_FOLDER,
} from "../../format/blocks/root-hint.ts";
import type { ObjectBody, PutOptions, PutOutcome } from "../object-store.ts";
import type { DatedObject, S3ObjectStore } from "./s3-object-store.ts";

/** The hint is written every few roots: some servers allow one write per second and key. */
const HINT_STEP = 8;
/** After this many roots in a row, a listing is cheaper than reading on. A hint that lags so much is written again. */
const FAR_BEHIND = 2 * HINT_STEP;
/** After this long without a read, the remembered roots may have been deleted. */
const GAP_MS = 60 * 60 * 1000;
/** Older numbers may be deleted: see `prune`. */
const KEPT_MS = 48 * 60 * 60 * 1000;
const KEPT_NUMBERS = 1_000;

interface NumberedRoot {
  readonly number: number;
  readonly object: DatedObject;
}

interface ListedRoot {
  readonly name: string;
  readonly number: number;
  readonly modifiedMs: number;
}

export class NumberedRoots {
  readonly #store: S3ObjectStore;
  readonly #clock: Clock;
  #last: NumberedRoot | undefined;
  /** Wall-clock time of the last look: it goes on while the machine sleeps. */
  #lookedMs = 0;

  constructor(store: S3ObjectStore, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
  }

  /** Whether a look can go on from the last root seen, without the hint. */
  get isAtHand(): boolean {
    return this.#last !== undefined && Math.abs(this.#nowMs() - this.#lookedMs) <= GAP_MS;
  }

  /** The newest root, if `isAtHand`. */
  newest(): Promise<DatedObject | undefined> {
    return this.#goOn(this.#last);
  }

  /** The newest root by what the object `root` hints at; undefined: that object is absent. */
  async find(hint: number | undefined): Promise<DatedObject | undefined> {
    const start = await this.#startAt(hint);
    if (start === undefined) return undefined;
    const found = await this.#goOn(start);
    const number = this.#last?.number ?? start.number;
    if (hint === undefined || number - hint >= FAR_BEHIND) await this.#hint(number, hint === undefined);
    return found;
  }

  /** Creates the first root. */
  createFirst(body: ObjectBody, options?: PutOptions): Promise<PutOutcome> {
    return this.#create(undefined, body, options);
  }

  /** Creates the root after the one with this token. */
  async createAfter(token: string, body: ObjectBody, options?: PutOptions): Promise<PutOutcome> {
    const base = this.#last?.object.token === token ? this.#last : undefined;
    return base === undefined ? { kind: "refused" } : this.#create(base, body, options);
  }

  async areThere(): Promise<boolean> {
    for await (const { name } of this.#store.list(ROOTS_FOLDER)) if (numberOfRoot(name) !== undefined) return true;
    return false;
  }

  async deleteAll(): Promise<void> {
    for (const { name } of await this.#all()) await this.#store.delete(name);
    this.#last = undefined;
  }

  /**
   * Deletes roots that nobody needs: far behind the newest, and so old that whoever slept on one looks for newer ones before
   * it counts what it created (`#create`). Lowest first, so that no gap opens below one that is still there.
   */
  async prune(): Promise<void> {
    const root = await this.#store.get(ROOT_OBJECT);
    const hint = root && decodeRootHint(root.bytes);
    const now = await this.#store.now();
    if (hint === undefined || now === undefined) return;
    const all = await this.#all();
    // Newcomers start at the hint: it counts even if it lags. Beyond the newest root it says nothing.
    const kept = Math.min(hint, all.at(-1)?.number ?? 0) - KEPT_NUMBERS;
    for (const { name, number, modifiedMs } of all) {
      if (number < kept && now - modifiedMs > KEPT_MS) await this.#store.delete(name);
    }
  }

  #nowMs(): number {
    return Number(this.#clock.nowNs() / 1_000_000n);
  }

  /** The root of the hint's number, or of the last one seen; if that one is gone, the newest that is listed. */
  async #startAt(hint: number | undefined): Promise<NumberedRoot | undefined> {
    const number = hint === undefined ? undefined : Math.max(1, hint, this.#last?.number ?? 0);
    const object = number === undefined ? undefined : await this.#store.get(numberedRootName(number));
    if (number !== undefined && object !== undefined) return { number, object };
    const listed = await this.#newestListed();
    // 0: before the first root.
    if (listed === undefined && hint !== undefined && hint > 0) throw lost(this.#store.address, hint);
    return listed;
  }

  async #newestListed(): Promise<NumberedRoot | undefined> {
    const newest = (await this.#all()).at(-1);
    const object = newest && (await this.#store.get(newest.name));
    return newest && object && { number: newest.number, object };
  }

  /** Goes on from a root to the newest. */
  async #goOn(from: NumberedRoot | undefined): Promise<DatedObject | undefined> {
    const lookedMs = this.#nowMs();
    let last = from;
    for (let read = 0; ; read++) {
      const number = (last?.number ?? 0) + 1;
      const object = await this.#store.get(numberedRootName(number));
      if (object === undefined) break;
      last = { number, object };
      if ((read + 1) % FAR_BEHIND !== 0) continue;
      const listed = await this.#newestListed();
      if (listed !== undefined && listed.number > number) last = listed;
    }
    this.#note(last);
    // The time before the look: the machine may have slept in it.
    this.#lookedMs = lookedMs;
    return last === undefined ? undefined : (this.#last ?? last).object;
  }

  /** Creates the root after `base`. */
  async #create(base: NumberedRoot | undefined, body: ObjectBody, options?: PutOptions): Promise<PutOutcome> {
    const next = (base?.number ?? 0) + 1;
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
   * Whether others had used and deleted the number that was just created. The lowest are deleted first, so its predecessor is
   * gone, too. After a creation whose answer came late, the predecessor is still there, or both are about to be deleted.
   */
  async #slept({ number, object }: NumberedRoot): Promise<boolean> {
    const now = await this.#store.now();
    if (now !== undefined && now - object.modifiedMs < KEPT_MS / 2) return false;
    const numbers = (await this.#all()).map((root) => root.number);
    return !numbers.includes(number) && numbers.some((other) => other > number + 1);
  }

  /** All roots, lowest first. */
  async #all(): Promise<ListedRoot[]> {
    const all: ListedRoot[] = [];
    for await (const { name, modifiedMs } of this.#store.list(ROOTS_FOLDER)) {
      const number = numberOfRoot(name);
      if (number !== undefined) all.push({ name, number, modifiedMs });
    }
    return all.sort((a, b) => a.number - b.number);
  }

  /** Only a hint: what goes wrong here costs newcomers some requests. A lost one may be back by now, and be newer. */
  async #hint(number: number, isLost = false): Promise<void> {
    const bytes = [encodeRootHint(number)];
    const writing = isLost ? this.#store.putNew(ROOT_OBJECT, bytes) : this.#store.replace(ROOT_OBJECT, bytes);
    await writing.catch(() => {});
  }
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
