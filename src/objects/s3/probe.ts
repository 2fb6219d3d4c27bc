/**
 * Whether an S3 server keeps the conditions that a bucket's root stands on. Some ignore them, some check them and then write
 * all the same: a server that fails is refused, since two writers would both succeed and one's work would be lost.
 */
import { SynclineError } from "../../base/errors.ts";
import type { Ports } from "../../base/ports.ts";
import type { ObjectBody, PutOutcome } from "../object-store.ts";
import type { S3ObjectStore } from "./s3-object-store.ts";

/** How a bucket's root is stored. */
export type RootForm = "replaced" | "numbered";

/** Why a form is not safe on a server; undefined: it passed. */
export type WhyUnsafe = string | undefined;

export interface ProbeReport {
  readonly create: WhyUnsafe;
  readonly replace: WhyUnsafe;
}

const FOLDER = "probe/";
const RACERS = 8;
/** In some 37 of 100 such rounds, S3Proxy 4.1 lets several racers win. By luck, one probe in 10,000 would not notice. */
const RACE_ROUNDS = 20;
/** Each on an object of its own. With four at once, S3Proxy fails only 30 of 100. */
const ROUNDS_AT_ONCE = 2;
/** Large enough that a server begins to receive the body before it decides. */
const RACE_BYTES = 200_000;
/** The pause before the last bytes are sent: by then the server is processing every request. */
const RACE_PAUSE_MS = 100;

/** A busy server is asked again: some allow one write per second and key. */
const DECISIONS = 5;
const DECISION_PAUSE_MS = 1_500;

export interface ProbeTools extends Pick<Ports, "clock" | "random"> {
  readonly store: S3ObjectStore;
}

/** Tests both forms. Leaves no objects. */
export async function probe(tools: ProbeTools): Promise<ProbeReport> {
  const { random } = tools;
  const name = `${FOLDER}${Buffer.from(random.bytes(8)).toString("hex")}`;
  const create = (await findCreating(tools, `${name}-a`)) ?? (await findRacing(tools, name, "create"));
  const replace = create ?? (await findReplacing(tools, `${name}-b`)) ?? (await findRacing(tools, name, "replace"));
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

/** A quick test before a process first swaps: the server may have been replaced or reconfigured. */
export async function checkForm(tools: ProbeTools, form: RootForm): Promise<void> {
  const { store, random } = tools;
  const name = `${FOLDER}${Buffer.from(random.bytes(8)).toString("hex")}`;
  const finding = form === "numbered" ? await findCreating(tools, name) : await findStale(tools, name);
  if (finding !== undefined) throw unsafe(store.address, finding);
}

/** Cloudflare R2 and Google take one write a second for a key. */
function writesKeysSlowly(endpoint: string | undefined): boolean {
  return /\.r2\.cloudflarestorage\.com|storage\.googleapis\.com/.test(endpoint ?? "");
}

const IGNORED = "it replaces an object that has changed (If-Match is ignored)";
/** The MD5 of nothing, which no object of ours has. */
const STALE_TAG = '"d41d8cd98f00b204e9800998ecf8427e"';

async function findCreating(tools: ProbeTools, name: string): Promise<WhyUnsafe> {
  const { store } = tools;
  try {
    await stored(store, name, "first");
    const second = await decided(tools, name, "second", undefined);
    if (second.kind === "stored") return "it creates an object that is there already (If-None-Match is ignored)";
    const there = await store.get(name);
    return is(there?.bytes, "first")
      ? undefined
      : "it refuses to create an object that is there, and replaces it all the same";
  } finally {
    await store.delete(name);
  }
}

/** As findReplacing, in two puts. */
async function findStale(tools: ProbeTools, name: string): Promise<WhyUnsafe> {
  const { store } = tools;
  try {
    await stored(store, name, "first");
    return (await decided(tools, name, "second", STALE_TAG)).kind === "refused" ? undefined : IGNORED;
  } finally {
    await store.delete(name);
  }
}

async function findReplacing(tools: ProbeTools, name: string): Promise<WhyUnsafe> {
  const { store } = tools;
  try {
    const stale = await stored(store, name, "first");
    const fresh = await store.putIfMatch(name, [text("second")], stale);
    if (fresh.kind === "unknown") throw store.unreachable(fresh.cause);
    if (fresh.kind === "refused") return "it does not replace an object whose tag matches";
    if ((await decided(tools, name, "third", stale)).kind === "stored") return IGNORED;
    if (!is((await store.get(name))?.bytes, "second"))
      return "it refuses to replace an object, and does it all the same";
    await store.delete(name);
    const gone = await decided(tools, name, "fourth", fresh.token ?? stale);
    return gone.kind === "refused" ? undefined : "it overwrites a deleted object despite If-Match";
  } finally {
    await store.delete(name);
  }
}

/** Stores a new object and returns its tag. Throws `store_unreachable` if it may not be stored. */
async function stored(store: S3ObjectStore, name: string, content: string): Promise<string> {
  const outcome = await store.putNew(name, [text(content)]);
  const token = (outcome.kind === "stored" ? outcome.token : undefined) ?? (await store.get(name))?.token;
  if (outcome.kind === "stored" && token !== undefined) return token;
  throw store.unreachable(outcome.kind === "unknown" ? outcome.cause : undefined);
}

/** Sends a put that must be refused, until the server accepts or refuses it. Throws `store_unreachable` if it stays busy. */
async function decided({ store, clock }: ProbeTools, name: string, content: string, token: string | undefined) {
  for (let attempt = 0; attempt < DECISIONS; attempt++) {
    if (attempt > 0) await clock.sleep(DECISION_PAUSE_MS);
    const outcome = await store.race(name, [text(content)], token, async () => {});
    if (outcome.kind !== "unknown") return outcome;
  }
  throw store.unreachable(new Error("it is too busy to be tested"));
}

/** Races writers: exactly one may win each round. A round counts only if the server named a winner and refused a loser. */
async function findRacing(tools: ProbeTools, prefix: string, kind: "create" | "replace"): Promise<WhyUnsafe> {
  const { store, clock } = tools;
  let proofs = 0;
  for (let tries = 0; proofs < RACE_ROUNDS; tries++) {
    if (tries === RACE_ROUNDS / ROUNDS_AT_ONCE + DECISIONS) {
      throw store.unreachable(new Error("it is too busy to be tested"));
    }
    const rounds = await Promise.all(
      Array.from({ length: ROUNDS_AT_ONCE }, (_, round) => raceOnce(tools, `${prefix}-${kind}${tries}-${round}`, kind)),
    );
    const bad = rounds.find((round) => round !== "proof" && round !== "undecided");
    if (bad !== undefined) return bad;
    const proven = rounds.filter((round) => round === "proof").length;
    proofs += proven;
    if (proven === 0) await clock.sleep(DECISION_PAUSE_MS);
  }
  return undefined;
}

async function raceOnce(tools: ProbeTools, name: string, kind: "create" | "replace"): Promise<string> {
  const { store } = tools;
  try {
    const outcomes = await race(tools, name, kind === "create" ? undefined : await stored(store, name, "raced for"));
    const winners = outcomes.flatMap(({ kind: outcome }, racer) => (outcome === "stored" ? [racer] : []));
    if (winners.length > 1) return `${winners.length} of ${RACERS} writers that ${kind} one object at once all succeed`;
    const there = await store.get(name);
    const isTheirs = there !== undefined && winners.every((racer) => there.bytes[0] === racer);
    if (winners.length === 1 && !isTheirs) return "a write that it acknowledged is overwritten by one that it refused";
    return winners.length === 1 && outcomes.some((outcome) => outcome.kind === "refused") ? "proof" : "undecided";
  } finally {
    await store.delete(name);
  }
}

/** All racers send everything but their last byte, then release it together. */
function race({ store, clock }: ProbeTools, name: string, token: string | undefined): Promise<PutOutcome[]> {
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
    return store.race(name, [body.subarray(0, -1), body.subarray(-1)], token, beforeLast).finally(() => arrive(racer));
  });
  return Promise.all(racers);
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
