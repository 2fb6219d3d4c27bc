/**
 * Mutation fuzzing of decoders. Valid encodings are damaged; each decoder must refuse them as documented, within memory and
 * time bounded by its input's length. If the format is canonical, accepted input must encode to the same bytes.
 */
import { getHeapStatistics, setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { seededRandom } from "../../src/simulate/seeded-random.ts";

export interface Decoder {
  readonly name: string;
  /** Valid encodings to start from. */
  readonly samples: readonly Uint8Array[];
  /** For a canonical format, returns the encoding of the decoded value. */
  readonly decode: (bytes: Uint8Array) => Uint8Array | undefined | Promise<undefined>;
  /** Whether the decoder documents this error. */
  readonly refuses: (error: unknown) => boolean;
  /** Repairs checksums, so that the data they cover can be damaged too. The bytes may have any length. */
  readonly reseal?: (bytes: Buffer) => void;
  /** Memory that it may use regardless of the input's length. */
  readonly fixedBytes?: number;
}

export interface Finding {
  readonly decoder: string;
  readonly problem: string;
  /** The smallest input found that shows the problem. */
  readonly input: Uint8Array;
}

export interface FuzzOptions {
  readonly seed: number;
  /** Called after each round: one input for each decoder. */
  readonly goesOn: (rounds: number) => boolean;
  /** Whether an input that takes longer than MOST_MS of CPU is a finding. */
  readonly timed?: boolean;
  /** Called with each finding at once. */
  readonly found?: (finding: Finding) => void;
}

export interface FuzzResult {
  readonly findings: readonly Finding[];
  readonly inputs: ReadonlyMap<string, number>;
  readonly accepted: ReadonlyMap<string, number>;
}

/** Cycles through the decoders; one that shows a problem is left out from then on. */
export async function fuzz(decoders: readonly Decoder[], options: FuzzOptions): Promise<FuzzResult> {
  const mutator = new Mutator(options.seed, decoders);
  const findings: Finding[] = [];
  const inputs = new Map(decoders.map(({ name }) => [name, 0]));
  const accepted = new Map(inputs);
  const add = (counts: Map<string, number>, name: string) => counts.set(name, (counts.get(name) ?? 0) + 1);
  let left = decoders;
  for (let rounds = 1; left.length > 0; rounds++) {
    for (const decoder of left) {
      const input = mutator.next(decoder);
      const verdict = await judge(decoder, input, options.timed ?? false);
      add(inputs, decoder.name);
      if (verdict === "accepted") add(accepted, decoder.name);
      if (verdict === "accepted" || verdict === "refused") continue;
      const smallest = await shrink(decoder, input, verdict, options.timed ?? false);
      const finding = { decoder: decoder.name, problem: verdict, input: smallest };
      findings.push(finding);
      options.found?.(finding);
      left = left.filter((each) => each !== decoder);
    }
    if (!options.goesOn(rounds)) break;
  }
  return { findings, inputs, accepted };
}

/** "accepted", "refused", or the problem. */
export async function judge(decoder: Decoder, input: Uint8Array, timed: boolean): Promise<string> {
  let verdict = "";
  // Garbage collection, the compiler and other programs add noise: only a problem in every attempt counts.
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    verdict = await judgeOnce(decoder, input, timed);
    // Otherwise a collection during the next attempt would hide what that allocates.
    if (verdict === TOO_MUCH_MEMORY) collectGarbage();
    if (verdict !== TOO_MUCH_MEMORY && verdict !== TOO_MUCH_TIME) break;
  }
  return verdict;
}

async function judgeOnce(decoder: Decoder, input: Uint8Array, timed: boolean): Promise<string> {
  // A separate buffer of exactly this length, so that reads beyond its end find nothing.
  const bytes = new Uint8Array(input);
  let verdict: string;
  const began = process.cpuUsage();
  const before = usedBytes();
  try {
    const result = decoder.decode(bytes);
    const encoded = result instanceof Promise ? await result : result;
    verdict = "accepted";
    if (encoded !== undefined && !Buffer.from(encoded).equals(input))
      verdict = "accepted, but it encodes to other bytes";
  } catch (error) {
    verdict = decoder.refuses(error) ? "refused" : `threw ${describe(error)}`;
  }
  const allocated = usedBytes() - before;
  const { user, system } = process.cpuUsage(began);
  if (allocated > SLACK_BYTES + BYTES_PER_BYTE * input.length + (decoder.fixedBytes ?? 0)) return TOO_MUCH_MEMORY;
  return timed && user + system > 1000 * MOST_MS ? TOO_MUCH_TIME : verdict;
}

function usedBytes(): number {
  const { used_heap_size, external_memory } = getHeapStatistics();
  return used_heap_size + external_memory;
}

/** The way that Node.js documents for v8.setFlagsFromString. */
function collectGarbage(): void {
  setFlagsFromString("--expose-gc");
  (runInNewContext("gc") as () => void)();
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = "code" in error ? ` ${String(error.code)}` : "";
  return `${error.name}${code}: ${error.message.slice(0, 120)}`;
}

/** Removes parts as long as the problem stays the same. */
async function shrink(decoder: Decoder, input: Uint8Array, problem: string, timed: boolean): Promise<Uint8Array> {
  const kind = problem.split(":")[0] ?? "";
  let best = input;
  let tries = 0;
  const stays = async (bytes: Uint8Array) => (await judge(decoder, bytes, timed)).split(":")[0] === kind;
  for (let size = best.length >> 1; size > 0; size >>= 1) {
    for (let at = 0; at + size <= best.length && tries < MOST_SHRINKS; tries++) {
      const shorter = Buffer.concat([best.subarray(0, at), best.subarray(at + size)]);
      if (await stays(shorter)) best = shorter;
      else at += size;
    }
  }
  return best;
}

const ATTEMPTS = 3;
const MOST_SHRINKS = 200;
const MOST_MS = 1000;
/** JavaScript uses some hundred bytes for a field of a few. */
const BYTES_PER_BYTE = 512;
const SLACK_BYTES = 1 << 20;
const TOO_MUCH_MEMORY = "takes memory that its input's length does not bound";
const TOO_MUCH_TIME = "takes time that its input's length does not bound";
const MOST_INPUT_BYTES = 1 << 16;

/** Numbers that typically break lengths, counts and offsets. */
const NUMBERS = [0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x10000, 0x1000000, 0x7fffffff, 0x80000000, 0xffffffff];
const DOUBLES = [Number.NaN, Infinity, -1, 0.5, 2 ** 31, 2 ** 53 - 1, 2 ** 53, 2 ** 64, -(2 ** 53)];
/** Heads of CBOR that announce more data than there is. */
const HEADS = ["9affffffff", "9bffffffffffffffff", "5affffffff", "7a7fffffff", "ba00ffffff", "9a02000000", "d82a5825"];

class Mutator {
  readonly #fraction: () => number;
  readonly #all: readonly Uint8Array[];

  constructor(seed: number, decoders: readonly Decoder[]) {
    this.#fraction = seededRandom(seed).fraction;
    this.#all = decoders.flatMap(({ samples }) => samples);
  }

  next({ samples, reseal }: Decoder): Uint8Array {
    let bytes: Buffer = Buffer.from(this.#pick(samples));
    for (let left = 1 + this.#below(4); left > 0; left--) bytes = this.#changed(bytes, samples);
    bytes = Buffer.from(bytes.subarray(0, MOST_INPUT_BYTES));
    if (reseal !== undefined && this.#below(4) > 0) reseal(bytes);
    return bytes;
  }

  #changed(bytes: Buffer, samples: readonly Uint8Array[]): Buffer {
    const at = this.#below(bytes.length + 1);
    const to = Math.min(bytes.length, at + this.#below(this.#below(2) === 0 ? 9 : bytes.length + 1));
    const [before, middle, after] = [bytes.subarray(0, at), bytes.subarray(at, to), bytes.subarray(to)];
    switch (this.#below(10)) {
      case 0:
        return this.#over(bytes, at, Buffer.of((bytes[at] ?? 0) ^ (1 << this.#below(8))));
      case 1:
        return this.#over(bytes, at, Buffer.of(this.#below(256)));
      case 2:
        return Buffer.concat([before, after]);
      case 3:
        return Buffer.from(before);
      case 4:
        return Buffer.concat([before, middle, middle, after]);
      case 5:
        return Buffer.concat([before, Buffer.from(Array.from(middle, () => this.#below(256))), after]);
      case 6: {
        const other = this.#pick(this.#below(4) === 0 ? this.#all : samples);
        return Buffer.concat([before, other.subarray(this.#below(other.length + 1))]);
      }
      case 7:
        return this.#over(bytes, at, Buffer.from(this.#pick(HEADS), "hex"));
      default:
        return this.#over(bytes, at, this.#number(bytes.length));
    }
  }

  #number(length: number): Buffer {
    const number = Buffer.alloc(8);
    if (this.#below(4) === 0) {
      number.writeDoubleLE(this.#pick(DOUBLES));
      return number;
    }
    const value = this.#below(3) === 0 ? length + this.#below(5) - 2 : this.#pick(NUMBERS);
    const width = this.#pick([1, 2, 3, 4, 4, 4, 8]);
    if (width === 8) number.writeBigUInt64LE(BigInt(Math.max(value, 0)) << BigInt(this.#pick([0, 0, 32])));
    else number.writeUIntLE(Math.max(value, 0) % 2 ** (8 * width), 0, width);
    const written = number.subarray(0, width);
    return this.#below(2) === 0 ? written : Buffer.from(written).reverse();
  }

  #over(bytes: Buffer, at: number, with_: Uint8Array): Buffer {
    return Buffer.concat([bytes.subarray(0, at), with_, bytes.subarray(at + with_.length)]);
  }

  #pick<Item>(items: readonly Item[]): Item {
    return items[this.#below(items.length)] as Item;
  }

  #below(end: number): number {
    return Math.floor(this.#fraction() * end);
  }
}
