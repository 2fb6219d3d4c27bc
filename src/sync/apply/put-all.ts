/**
 * Puts a plan's objects in batches, and leaves out those that this disk cannot hold or whose blocks the bucket lacks: they
 * hold nothing else back.
 */
import { isDiskFull } from "../../base/system-errors.ts";
import type { Reason } from "../known/unsettled.ts";
import type { Ready } from "./incoming.ts";
import { isOfOne, ofOne } from "./of-one.ts";
import type { Put } from "./plan.ts";

/** The part of a batch that is on the disk under temporary names. */
export type Written = ReadonlyMap<Put, Ready>;

/** How objects get into the folder. */
export interface Puts {
  /** Writes what needs content. */
  write(puts: readonly Put[]): Promise<Written>;
  put(puts: readonly Put[], written: Written): Promise<void>;
  discard(ready: readonly Ready[]): Promise<void>;
  leave(put: Put, reason: Reason): void;
  /** Puts of one unit follow one another, and go into one batch. */
  unitOf(put: Put): unknown;
}

interface Failure {
  readonly error: unknown;
}

/**
 * Writes each batch under temporary names while the previous one is put in place. On a full disk, or if the bucket lacks
 * blocks, puts whatever it can and answers the error.
 */
export async function putAll(applier: Puts, puts: readonly Put[]): Promise<Failure | undefined> {
  const batches = [...batchesOf(puts, (put) => applier.unitOf(put))];
  let next: Promise<Written> | undefined;
  let failure: Failure | undefined;
  try {
    for (const [index, batch] of batches.entries()) {
      let written: Written;
      try {
        written = await (next ?? applier.write(batch));
      } catch (error) {
        if (!isDiskFull(error) && !isOfOne(error)) throw error;
        const isFull = isDiskFull(error);
        const failed = await putEach(applier, isFull ? batches.slice(index).flat() : batch);
        failure ??= isFull ? { error } : failed;
        if (isFull) return failure;
        next = undefined;
        continue;
      }
      const following = batches[index + 1];
      next = following === undefined ? undefined : applier.write(following);
      // The error is reported when this batch's turn comes.
      next?.catch(() => {});
      await applier.put(batch, written);
    }
    return failure;
  } catch (error) {
    // Written files that will not be placed take room that others need.
    if (isDiskFull(error)) await next?.then((written) => applier.discard([...written.values()])).catch(() => {});
    throw error;
  } finally {
    // The caller then closes the disk.
    await next?.catch(() => {});
  }
}

/**
 * Puts them one by one. Stops once FULL_PUTS did not fit: the rest will not fit either. Also stops if a written file has
 * no room for its name: only the log then tells what was done, and any later step would clear it.
 */
async function putEach(applier: Puts, puts: readonly Put[]): Promise<Failure | undefined> {
  let refused = 0;
  let failure: Failure | undefined;
  for (const put of puts) {
    if (refused === FULL_PUTS) break;
    let written: Written;
    try {
      written = await applier.write([put]);
    } catch (error) {
      const reason = reasonOf(error, put);
      if (reason !== undefined) applier.leave(put, reason);
      else if (isDiskFull(error)) refused++;
      else throw error;
      if (reason !== "not kept here") failure ??= { error };
      continue;
    }
    await applier.put([put], written);
  }
  return failure;
}

/** Undefined if the error does not concern this object. */
function reasonOf(error: unknown, { target }: Put): Reason | undefined {
  const why = ofOne(error, target.record);
  return why && REASONS[why];
}

const REASONS = { lost: "waiting", "not held": "not kept here" } as const;

/** As many files as are written under temporary names at once, and more if one unit has more. */
export function* batchesOf(puts: readonly Put[], unitOf: Puts["unitOf"] = () => undefined): Generator<Put[]> {
  let batch: Put[] = [];
  let bytes = 0;
  for (const [index, put] of puts.entries()) {
    batch.push(put);
    bytes += put.target.record.size;
    if (batch.length < BATCH_PLACES && bytes < BATCH_BYTES) continue;
    const [unit, next] = [unitOf(put), puts[index + 1]];
    if (unit !== undefined && next !== undefined && unitOf(next) === unit) continue;
    yield batch;
    [batch, bytes] = [[], 0];
  }
  if (batch.length > 0) yield batch;
}

/** Each batch is made durable by itself: four waits for the disk, however many files it has. */
export const BATCH_PLACES = 1_024;
/** Full-disk failures allowed. */
const FULL_PUTS = 16;
/** Memory for two batches. */
const BATCH_BYTES = 32 * 1024 * 1024;
