/**
 * A conditional put, retried until its outcome is known. Replies get lost: then the object is read.
 * If the object has our bytes, it is stored; while it still is as it was before, the same put is sent again, which can count
 * only once. What remains in doubt is "unknown", whatever goes wrong after it.
 */
import { ROOT_OBJECT } from "../../format/blocks/object-name.ts";
import { isGivenUp } from "../../net/patience.ts";
import { Unanswered } from "../../net/unanswered.ts";
import type { PutOutcome, StoredObject } from "../object-store.ts";
import { PutTries } from "./put-tries.ts";
import { isTrouble, type S3Client } from "./s3-client.ts";
import type { S3Answer } from "./s3-request.ts";

export interface ConditionalPut {
  readonly name: string;
  readonly key: string;
  readonly chunks: readonly Uint8Array[];
  /** As headers. */
  readonly condition: Readonly<Record<string, string>>;
  /** What it is to replace; undefined: nothing. */
  readonly token: string | undefined;
  readonly signal: AbortSignal | undefined;
  readonly get: () => Promise<StoredObject | undefined>;
}

const PUT_TRIES = 5;

/** Why a put may have been stored. Undefined: it certainly was not. */
interface Doubt {
  cause: unknown;
}

/** Throws only where nothing was stored: as S3Client.refusal, `store_unreachable`, the signal's reason. */
export async function putUntilKnown(client: S3Client, put: ConditionalPut): Promise<PutOutcome> {
  const doubt: Doubt = { cause: undefined };
  try {
    return await tryUntilKnown(client, put, doubt);
  } catch (error) {
    // Once a put may have been stored, no error says that it was not.
    if (doubt.cause === undefined) throw error;
    return { kind: "unknown", cause: doubt.cause };
  }
}

/** Whether the server says that the object is absent. Other answers of 404 are about keys, buckets or proxies. */
export function isAbsent({ status, error }: S3Answer): boolean {
  return status === 404 && error?.code === "NoSuchKey";
}

async function tryUntilKnown(client: S3Client, put: ConditionalPut, doubt: Doubt): Promise<PutOutcome> {
  const { name, token, signal } = put;
  const tries = new PutTries(client, PUT_TRIES, signal);
  for (let goesOn = true; goesOn;) {
    const answer = await tryOnce(client, put);
    if (answer instanceof Unanswered && !answer.sent && doubt.cause === undefined) {
      if (isGivenUp(answer) || !(await tries.again())) throw client.unreachable(answer);
      continue;
    }
    let isBusy = false;
    if (answer instanceof Unanswered) {
      doubt.cause = answer;
    } else {
      if (answer.status === 200) return { kind: "stored", token: answer.headers["etag"] };
      const isRefused = answer.status === 412 || (token !== undefined && isAbsent(answer));
      if (isRefused && doubt.cause === undefined) return { kind: "refused" };
      // Another put of this object is under way; it tells who won once it is over.
      if (answer.status === 409 && doubt.cause === undefined && (await tries.again())) continue;
      if (!isRefused && answer.status !== 409 && !isTrouble(answer)) throw client.refusal(answer, `to store ${name}`);
      isBusy = isTrouble(answer);
      doubt.cause = new Error(`${answer.status} ${answer.error?.code ?? ""}`.trim());
    }
    const outcome = await lookUp(put, doubt.cause);
    if (outcome !== "as before") {
      if (outcome.kind !== "unknown") client.putTime?.answered();
      return outcome;
    }
    goesOn = isBusy ? await tries.afterTrouble(doubt.cause) : await tries.again();
  }
  return { kind: "unknown", cause: doubt.cause };
}

async function tryOnce(
  client: S3Client,
  { key, chunks, condition, signal }: ConditionalPut,
): Promise<S3Answer | Unanswered> {
  try {
    const headers = { "content-type": "application/octet-stream", ...condition };
    return await client.send({ method: "PUT", key, headers, body: chunks, signal });
  } catch (error) {
    if (error instanceof Unanswered) return error;
    // It may be on its way.
    if (signal?.aborted === true && error === signal.reason) return new Unanswered(true, error);
    throw error;
  }
}

/** What became of a put without a clear answer. */
async function lookUp({ name, chunks, token, get }: ConditionalPut, cause: unknown): Promise<PutOutcome | "as before"> {
  let there: StoredObject | undefined;
  try {
    there = await get();
  } catch {
    return { kind: "unknown", cause };
  }
  if (there !== undefined && Buffer.compare(there.bytes, Buffer.concat(chunks)) === 0) {
    return { kind: "stored", token: there.token };
  }
  if (there?.token === token) return "as before";
  // Only the root is replaced by others: there, ours may have been in between. All else is created once.
  return token === undefined && name !== ROOT_OBJECT ? { kind: "refused" } : { kind: "unknown", cause };
}
