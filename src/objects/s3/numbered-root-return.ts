/** Puts a numbered root back, or the hint at one, where none can be read (`verify --repair`). */
import { unlessDamaged } from "../../base/errors.ts";
import { ROOT_OBJECT } from "../../format/blocks/object-name.ts";
import { decodeRootHint, encodeRootHint, numberedRootName, ROOTS_FOLDER } from "../../format/blocks/root-hint.ts";
import { decodeRoot } from "../../format/blocks/root-object.ts";
import type { PutOutcome } from "../object-store.ts";
import type { S3ObjectStore } from "./s3-object-store.ts";

/** As ObjectStore.returnRoot. Undefined: the bucket shows no sign of numbered roots. */
export async function returnNumberedRoot(
  store: S3ObjectStore,
  body: readonly Uint8Array[],
  least: number,
  token: string | undefined,
): Promise<PutOutcome | undefined> {
  const object = await store.get(ROOT_OBJECT);
  const hint = object && decodeRootHint(object.bytes);
  const newest = await newestNumber(store);
  if (newest === undefined && hint === undefined) return undefined;
  const root = newest === undefined ? undefined : await store.get(numberedRootName(newest));
  // The one that was read is known to be wrong.
  const isRoot =
    root?.token !== token && (await unlessDamaged(async () => root && decodeRoot(root.bytes))) !== undefined;
  const number = isRoot && newest !== undefined ? newest : Math.max(least, hint ?? 0, newest ?? 0) + 1;
  if (isRoot && hint !== undefined) return { kind: "refused" };
  const outcome = isRoot ? undefined : await store.putNew(numberedRootName(number), body);
  if (outcome !== undefined && outcome.kind !== "stored") return outcome;
  const pointing = await store.replace(ROOT_OBJECT, [encodeRootHint(number)]);
  return outcome ?? pointing;
}

async function newestNumber(store: S3ObjectStore): Promise<number | undefined> {
  let newest: number | undefined;
  for await (const { name } of store.list(ROOTS_FOLDER)) {
    const number = Number(name.slice(ROOTS_FOLDER.length));
    if (Number.isSafeInteger(number) && name === numberedRootName(number)) newest = Math.max(newest ?? 0, number);
  }
  return newest;
}
