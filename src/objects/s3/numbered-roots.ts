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
/** How often the remembered root is read again: the bucket may have been emptied or replaced while the machine slept. */
const CHECK_MS = 60 * 1000;
/** Older numbers may be deleted: see `prune`. */
const KEPT_MS = 48 * 60 * 60 * 1000;
const KEPT_NUMBERS = 1_000;

interface NumberedRoot {
  readonly number: number;
  readonly object: DatedObject;
  /** Wall-clock time when it was there: that clock goes on while the machine sleeps. */
  readonly seenMs: number;
}

/** A root that may have been created here. */
interface SentRoot {
  readonly base: NumberedRoot;
  readonly number: number;
  readonly bytes: Uint8Array;
  /** Whether it may have been deleted since. */
  wasDeleted: boolean;
}

/** "unclear": the server's answers do not agree, or one was damaged. */
type Standing = "there" | "gone" | "unclear";

interface ListedRoot {
  readonly name: string;
  readonly number: number;
  readonly modifiedMs: number;
}

export class NumberedRoots {
  readonly #store: S3ObjectStore;
  readonly #clock: Clock;
  #last: NumberedRoot | undefined;
  /** Roots that may have been created here, and whose base could not be checked yet. */
  readonly #unproven = new Set<SentRoot>();

  constructor(store: S3ObjectStore, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
  }

  /** The newest root, from the last one seen on, without the hint. Undefined: none was seen, or that one is gone. */
  async newest(): Promise<DatedObject | undefined> {
    for (const sent of this.#unproven) await this.#proven(sent);
    const last = this.#last;
    return last !== undefined && (await this.#stands(last)) ? this.#goOn(this.#last ?? last) : undefined;
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

  async createFirst(body: ObjectBody, options?: PutOptions): Promise<PutOutcome> {
    const bytes = await whole(body);
    const outcome = await this.#store.putNew(numberedRootName(1), [bytes], options);
    // Nobody has read it yet.
    if (outcome.kind === "stored") await this.#noteCreated(1, bytes, outcome.token, 0);
    return outcome;
  }

  /**
   * Creates the root after the one with this token. It counts only if that one is still there then: the bucket may have been
   * emptied or replaced.
   */
  async createAfter(token: string, body: ObjectBody, options?: PutOptions): Promise<PutOutcome> {
    const base = this.#last;
    if (base?.object.token !== token) return { kind: "refused" };
    const number = base.number + 1;
    const bytes = await whole(body);
    const outcome = await this.#store.putNew(numberedRootName(number), [bytes], options);
    if (outcome.kind === "refused") return outcome;
    const sent: SentRoot = { base, number, bytes, wasDeleted: false };
    this.#unproven.add(sent);
    if (outcome.kind === "unknown") return outcome;
    try {
      // Ours may have counted before it was deleted with its base: the history tells.
      if (!(await this.#proven(sent))) return { kind: "unknown", cause: unproven(base) };
      if (number % HINT_STEP === 0) await this.#hint(number);
      await this.#noteCreated(number, bytes, outcome.token, this.#nowMs());
      return outcome;
    } catch (cause) {
      return { kind: "unknown", cause };
    }
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
   * Deletes old roots far behind the newest. Lowest first, so that the numbers left have no gap. An agent that slept may
   * create the successor of a deleted root, and then notices that its base is gone (`createAfter`).
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
      // Dates need not ascend with the numbers: stop at the first root that stays.
      if (number >= kept || now - modifiedMs <= KEPT_MS) break;
      await this.#store.delete(name);
    }
  }

  #nowMs(): number {
    return Number(this.#clock.nowNs() / 1_000_000n);
  }

  /** The root of the hint's number, or of the last one seen; if that one is gone, the newest that is listed. */
  async #startAt(hint: number | undefined): Promise<NumberedRoot | undefined> {
    const number = hint === undefined ? undefined : Math.max(1, hint, this.#last?.number ?? 0);
    const root = number === undefined ? undefined : await this.#read(number);
    if (root !== undefined) return root;
    const listed = await this.#newestListed();
    // 0: before the first root.
    if (listed === undefined && hint !== undefined && hint > 0) throw lost(this.#store.address, hint);
    return listed;
  }

  async #newestListed(): Promise<NumberedRoot | undefined> {
    const newest = (await this.#all()).at(-1);
    return newest && this.#read(newest.number);
  }

  async #read(number: number): Promise<NumberedRoot | undefined> {
    const seenMs = this.#nowMs();
    const object = await this.#store.get(numberedRootName(number));
    return object && { number, object, seenMs };
  }

  /** Goes on from a root to the newest. */
  async #goOn(from: NumberedRoot | undefined): Promise<DatedObject | undefined> {
    let last = from;
    for (let read = 0; ; read++) {
      const next = await this.#read((last?.number ?? 0) + 1);
      if (next === undefined) break;
      last = next;
      if ((read + 1) % FAR_BEHIND !== 0) continue;
      const listed = await this.#newestListed();
      if (listed !== undefined && listed.number > next.number) last = listed;
    }
    this.#note(last);
    return last === undefined ? undefined : (this.#last ?? last).object;
  }

  /** Looks run beside each other: an older one must not hide what a newer one found. */
  #note(root: NumberedRoot | undefined): void {
    if (root !== undefined && root.number >= (this.#last?.number ?? 0)) this.#last = root;
  }

  async #noteCreated(number: number, bytes: Uint8Array, token: string | undefined, seenMs: number): Promise<void> {
    const modifiedMs = (await this.#store.now()) ?? 0;
    if (token !== undefined) this.#note({ number, object: { bytes, token, modifiedMs }, seenMs });
  }

  /** Whether the last root seen is still there. Within CHECK_MS it is not read again. */
  async #stands(last: NumberedRoot): Promise<boolean> {
    return Math.abs(this.#nowMs() - last.seenMs) < CHECK_MS || this.#isThere(last);
  }

  /** Reads a root again. If it is gone, or another has its number, what is remembered is forgotten. */
  async #isThere({ number, object }: NumberedRoot): Promise<boolean> {
    const found = await this.#read(number);
    if (found !== undefined && isSame(found, object.bytes)) {
      this.#note(found);
      return true;
    }
    this.#last = undefined;
    return false;
  }

  /**
   * Whether the base of a root created here is still in the bucket. If it is gone, the root is deleted: others would read it
   * as the newest.
   */
  async #proven(sent: SentRoot): Promise<boolean> {
    const standing = await this.#standing(sent.base);
    const isOver = standing === "there" || (standing === "gone" && (await this.#withdraw(sent)));
    if (isOver) this.#unproven.delete(sent);
    return standing === "there";
  }

  /** Looks again before a root counts as gone: others may have built on what would be deleted then. */
  async #standing(root: NumberedRoot): Promise<Standing> {
    const { number, object } = root;
    if (await this.#isThere(root)) return "there";
    const second = await this.#read(number);
    if (second === undefined) return (await this.#isListed(number)) ? "unclear" : "gone";
    if (isSame(second, object.bytes)) return "there";
    // A tag belongs to the whole object: with its old one, the answer was damaged.
    if (second.object.token === object.token) return "unclear";
    const third = await this.#read(number);
    return third?.object.token === second.object.token && isSame(third, second.object.bytes) ? "gone" : "unclear";
  }

  async #isListed(number: number): Promise<boolean> {
    const wanted = numberedRootName(number);
    for await (const { name } of this.#store.list(wanted)) if (name === wanted) return true;
    return false;
  }

  /** Deletes our root, unless others have built on it or replaced it. Returns false if this must be tried again later. */
  async #withdraw(sent: SentRoot): Promise<boolean> {
    const { number, bytes } = sent;
    const name = numberedRootName(number);
    const isBuiltOn = async () => (await this.#read(number + 1)) !== undefined;
    const wasBuiltOn = await isBuiltOn();
    if (wasBuiltOn && !sent.wasDeleted) return true;
    if (!wasBuiltOn) {
      const found = await this.#read(number);
      if (found === undefined || !isSame(found, bytes)) return true;
      sent.wasDeleted = true;
      await this.#store.delete(name);
      if (!(await isBuiltOn())) return true;
    }
    // Others built on it while it was deleted. Put it back: readers stop at the first number that is missing.
    const outcome = await this.#store.putNew(name, [bytes]);
    return wasBuiltOn && outcome.kind !== "unknown";
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

async function whole(body: ObjectBody): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of body) chunks.push(chunk);
  return Buffer.concat(chunks);
}

function lost(address: string, number: number): SynclineError {
  return new SynclineError(
    "arbiter_unreachable",
    `The bucket at ${address} has lost its root: none from number ${number} on is there.`,
    { hint: "Put the objects under roots/ back, or run `syncline verify --repair`." },
  );
}

function unproven({ number }: NumberedRoot): Error {
  return new Error(`root ${number}, on which it was built, was not found in the bucket again`);
}

function isSame({ object }: NumberedRoot, bytes: Uint8Array): boolean {
  return Buffer.compare(object.bytes, bytes) === 0;
}
