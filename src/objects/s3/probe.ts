/**
 * Whether an S3 server keeps the conditions that a bucket's root stands on. Some ignore them, some check them and then write
 * all the same: a server that fails is refused, since two writers would both succeed and one's work would be lost.
 */
import type { Clock } from "../../base/clock.ts";
import { SynclineError } from "../../base/errors.ts";
import type { Random } from "../../base/random.ts";
import type { ObjectBody, PutOutcome } from "../object-store.ts";
import type { S3ObjectStore } from "./s3-object-store.ts";

/** How a bucket's root is stored. */
export type RootForm = "replaced" | "numbered";

/** Why a form is not safe on a server; undefined: it passed. */
export type Finding = string | undefined;

export interface ProbeReport {
  readonly create: Finding;
  readonly replace: Finding;
}

const FOLDER = "probe/";
const RACERS = 8;
const RACE_ROUNDS = 3;
/** Long enough that servers take the body while they have not decided yet. */
const RACE_BYTES = 200_000;
/** The last bytes are released this long after the rest of all bodies: by then the server has begun with each. */
const RACE_PAUSE_MS = 200;

export interface ProbeTools {
  readonly store: S3ObjectStore;
  readonly clock: Clock;
  readonly random: Random;
}

/** Tests both forms. Leaves no objects. */
export async function probe(tools: ProbeTools): Promise<ProbeReport> {
  const { store, random } = tools;
  const name = `${FOLDER}${Buffer.from(random.bytes(8)).toString("hex")}`;
  const create = (await findCreating(store, `${name}-a`)) ?? (await findRacing(tools, name, "create"));
  const replace = create ?? (await findReplacing(store, `${name}-b`)) ?? (await findRacing(tools, name, "replace"));
  return { create, replace };
}

/** The form for a new bucket; `wanted` if the server keeps it. Throws `not_supported` where none is safe. */
export async function chooseForm(
  tools: ProbeTools,
  endpoint: string | undefined,
  wanted?: RootForm | undefined,
): Promise<RootForm> {
  const { create, replace } = await probe(tools);
  const finding = wanted === "replaced" ? replace : create;
  if (finding !== undefined) throw unsafe(tools.store.address, finding);
  return wanted ?? (replace === undefined && !writesKeysSlowly(endpoint) ? "replaced" : "numbered");
}

/** The cheap form, once before the first swap of a process: a server may have been exchanged or set up anew. */
export async function checkForm({ store, random }: ProbeTools, form: RootForm): Promise<void> {
  const name = `${FOLDER}${Buffer.from(random.bytes(8)).toString("hex")}`;
  const finding = form === "numbered" ? await findCreating(store, name) : await findStale(store, name);
  if (finding !== undefined) throw unsafe(store.address, finding);
}

/** Cloudflare R2 and Google take one write a second for a key. */
function writesKeysSlowly(endpoint: string | undefined): boolean {
  return /\.r2\.cloudflarestorage\.com|storage\.googleapis\.com/.test(endpoint ?? "");
}

const IGNORED = "it replaces an object that has changed (If-Match is ignored)";
/** The MD5 of nothing, which no object of ours has. */
const STALE_TAG = '"d41d8cd98f00b204e9800998ecf8427e"';

async function findCreating(store: S3ObjectStore, name: string): Promise<Finding> {
  try {
    const first = await store.putNew(name, [text("first")]);
    if (first.kind !== "stored") return `a new object was ${first.kind}`;
    const second = await store.putNew(name, [text("second")]);
    if (second.kind !== "refused") return "it creates an object that is there already (If-None-Match is ignored)";
    const there = await store.get(name);
    return is(there?.bytes, "first")
      ? undefined
      : "it refuses to create an object that is there, and replaces it all the same";
  } finally {
    await store.delete(name);
  }
}

/** As findReplacing, in two puts. */
async function findStale(store: S3ObjectStore, name: string): Promise<Finding> {
  try {
    await store.putNew(name, [text("first")]);
    const late = await store.putIfMatch(name, [text("second")], STALE_TAG);
    return late.kind === "refused" ? undefined : IGNORED;
  } finally {
    await store.delete(name);
  }
}

async function findReplacing(store: S3ObjectStore, name: string): Promise<Finding> {
  try {
    await store.putNew(name, [text("first")]);
    const stale = (await store.get(name))?.token ?? "";
    const fresh = await store.putIfMatch(name, [text("second")], stale);
    if (fresh.kind !== "stored") return `it does not replace an object whose tag matches (${fresh.kind})`;
    const late = await store.putIfMatch(name, [text("third")], stale);
    if (late.kind !== "refused") return IGNORED;
    if (!is((await store.get(name))?.bytes, "second"))
      return "it refuses to replace an object, and does it all the same";
    await store.delete(name);
    const gone = await store.putIfMatch(name, [text("fourth")], fresh.token ?? stale);
    return gone.kind === "refused" ? undefined : "it replaces an object that is gone";
  } finally {
    await store.delete(name);
  }
}

/** Racers that send all but the last byte, and then all together that one: exactly one may win. */
async function findRacing({ store, clock }: ProbeTools, prefix: string, kind: "create" | "replace"): Promise<Finding> {
  for (let round = 0; round < RACE_ROUNDS; round++) {
    const name = `${prefix}-${kind}${round}`;
    try {
      const token = kind === "create" ? undefined : await tokenOf(store, name);
      const gate = Promise.withResolvers<void>();
      const arrived = new Set<number>();
      const arrive = (racer: number) => {
        if (arrived.add(racer).size === RACERS) gate.resolve();
      };
      const racers = Array.from({ length: RACERS }, async (_, racer): Promise<PutOutcome> => {
        const body = Buffer.alloc(RACE_BYTES, racer);
        const beforeLast = () => {
          arrive(racer);
          return gate.promise.then(() => clock.sleep(RACE_PAUSE_MS));
        };
        // One that is answered before its end must not keep the others waiting.
        const raced = store.race(name, [body.subarray(0, -1), body.subarray(-1)], token, beforeLast);
        return raced.finally(() => arrive(racer));
      });
      const outcomes = await Promise.all(racers);
      const winners = outcomes.flatMap(({ kind: outcome }, racer) => (outcome === "stored" ? [racer] : []));
      if (winners.length > 1)
        return `${winners.length} of ${RACERS} writers that ${kind} one object at once all succeed`;
      const there = await store.get(name);
      const isTheirs = there !== undefined && winners.every((racer) => there.bytes[0] === racer);
      if (winners.length === 1 && !isTheirs)
        return "a write that it acknowledged is overwritten by one that it refused";
    } finally {
      await store.delete(name);
    }
  }
  return undefined;
}

async function tokenOf(store: S3ObjectStore, name: string): Promise<string> {
  const outcome = await store.putNew(name, [text("raced for")]);
  return (outcome.kind === "stored" ? outcome.token : undefined) ?? (await store.get(name))?.token ?? "";
}

function unsafe(address: string, finding: string): SynclineError {
  return new SynclineError("not_supported", `The S3 server of ${address} cannot keep a bucket's root: ${finding}.`, {
    hint: "Use a server with conditional writes (AWS, R2, MinIO, versitygw 1.8), or a master in front of this one: `syncline serve --arbiter postgres://… --store s3://…`.",
  });
}

function text(content: string): Uint8Array {
  return Buffer.from(content);
}

function is(bytes: ObjectBody | Uint8Array | undefined, content: string): boolean {
  return bytes instanceof Uint8Array && Buffer.from(bytes).toString() === content;
}
