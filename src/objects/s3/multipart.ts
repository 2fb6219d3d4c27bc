/** Multipart uploads, for objects too large for one put. The object appears only once all parts are there. */
import { Unanswered } from "../../net/unanswered.ts";
import type { PutOutcome } from "../object-store.ts";
import { PutTries } from "./put-tries.ts";
import { isTrouble, type S3Client } from "./s3-client.ts";
import { type S3Answer, type S3Request, textAt } from "./s3-request.ts";

/** 10,000 parts at most: 156 GiB. S3 takes none below 5 MiB but the last. */
const PART_BYTES = 16 * 1024 * 1024;
const COMPLETE_TRIES = 4;

/** Uploads `first` and `rest` as one object under `condition`. A failed upload is aborted. */
export async function putInParts(
  client: S3Client,
  key: string,
  first: readonly Uint8Array[],
  rest: AsyncIterator<Uint8Array>,
  condition: Readonly<Record<string, string>>,
  signal: AbortSignal | undefined,
): Promise<PutOutcome> {
  const begun = await client.read({ method: "POST", key, query: { uploads: "" }, signal });
  const uploadId = textAt(Buffer.from(begun.body).toString("utf8"), "InitiateMultipartUploadResult/UploadId");
  if (begun.status !== 200 || uploadId === undefined) throw client.refusal(begun, `to store ${key} in parts`);
  const abandon = () => client.read({ method: "DELETE", key, query: { uploadId } }).catch(() => {});
  try {
    const tags: string[] = [];
    let bytes = 0;
    for await (const body of partsOf(first, rest)) {
      const query = { partNumber: String(tags.length + 1), uploadId };
      // A part that is sent twice counts once.
      const answer = await client.read({ method: "PUT", key, query, body, signal });
      const tag = answer.headers["etag"];
      if (answer.status !== 200 || tag === undefined) throw client.refusal(answer, `a part of ${key}`);
      tags.push(tag);
      bytes += body.reduce((sum, piece) => sum + piece.length, 0);
    }
    const outcome = await complete(client, { key, uploadId, tags, bytes, condition, signal });
    if (outcome.kind === "refused") await abandon();
    return outcome;
  } catch (error) {
    await abandon();
    throw error;
  }
}

interface Completion {
  readonly key: string;
  readonly uploadId: string;
  readonly tags: readonly string[];
  readonly bytes: number;
  readonly condition: Readonly<Record<string, string>>;
  readonly signal: AbortSignal | undefined;
}

/** Why the object may be there. Undefined: it certainly is not. */
interface Doubt {
  cause: unknown;
}

async function complete(client: S3Client, completion: Completion): Promise<PutOutcome> {
  const doubt: Doubt = { cause: undefined };
  try {
    return await tryToComplete(client, completion, doubt);
  } catch (error) {
    // Once the object may be there, no error says that it is not.
    if (doubt.cause === undefined) throw error;
    return { kind: "unknown", cause: doubt.cause };
  }
}

async function tryToComplete(
  client: S3Client,
  { key, uploadId, tags, bytes, condition, signal }: Completion,
  doubt: Doubt,
): Promise<PutOutcome> {
  const parts = tags.map((tag, at) => `<Part><PartNumber>${at + 1}</PartNumber><ETag>${escaped(tag)}</ETag></Part>`);
  const text = `<CompleteMultipartUpload>${parts.join("")}</CompleteMultipartUpload>`;
  const request: S3Request = {
    method: "POST",
    key,
    query: { uploadId },
    headers: { "content-type": "application/xml", ...condition },
    body: [Buffer.from(text)],
    signal,
  };
  const tries = new PutTries(client, COMPLETE_TRIES, signal);
  for (let goesOn = true; goesOn;) {
    const answer = await client.send(request).catch((error: unknown) => {
      if (error instanceof Unanswered) return error;
      // It may be on its way.
      if (signal?.aborted === true && error === signal.reason) return new Unanswered(true, error);
      throw error;
    });
    if (!(answer instanceof Unanswered)) {
      // A failure after the head was sent is told in a body with status 200.
      const tag = textAt(Buffer.from(answer.body).toString("utf8"), "CompleteMultipartUploadResult/ETag");
      if (answer.status === 200 && tag !== undefined) return { kind: "stored", token: tag };
      if (answer.status === 412 && doubt.cause === undefined) return { kind: "refused" };
      // 404 and 412 are also what a completion gets whose first try took effect.
      if (![200, 404, 409, 412].includes(answer.status) && !isTrouble(answer))
        throw client.refusal(answer, `to store ${key}`);
    }
    const cause = answer instanceof Unanswered ? answer : new Error(`${answer.status}`);
    doubt.cause ??= cause;
    if (await isThere(client, key, bytes)) return { kind: "stored", token: undefined };
    const isBusy = !(answer instanceof Unanswered) && isTrouble(answer);
    goesOn = isBusy ? await tries.afterTrouble(cause) : await tries.again();
  }
  return { kind: "unknown", cause: doubt.cause };
}

/** Large objects have random names, so an object of this size is ours. */
async function isThere(client: S3Client, key: string, bytes: number): Promise<boolean> {
  const answer: S3Answer | undefined = await client.read({ method: "HEAD", key }).catch(() => undefined);
  return answer?.status === 200 && Number(answer.headers["content-length"]) === bytes;
}

async function* partsOf(first: readonly Uint8Array[], rest: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array[]> {
  let part: Uint8Array[] = [];
  let bytes = 0;
  const all = (async function* () {
    yield* first;
    for (let step = await rest.next(); step.done !== true; step = await rest.next()) yield Uint8Array.from(step.value);
  })();
  for await (const chunk of all) {
    part.push(chunk);
    bytes += chunk.length;
    if (bytes < PART_BYTES) continue;
    yield part;
    part = [];
    bytes = 0;
  }
  if (part.length > 0) yield part;
}

function escaped(tag: string): string {
  return tag.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");
}
