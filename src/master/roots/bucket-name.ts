/** Which bucket a call means: its name and owner. The owner is the caller unless the path says otherwise. */
import { isBucketName } from "../../bucket/address.ts";
import { Refusal } from "../http/refusal.ts";
import type { Call } from "../http/route.ts";
import type { OwnedBucket } from "./bucket-roots.ts";

/** The paths of one's own buckets, and of any owner's. */
export const BUCKET_PATHS = ["/v1/buckets/{bucket}", "/v1/owners/{wallet}/buckets/{bucket}"] as const;

/**
 * From the path's parts {bucket} and {wallet}. Throws `name_invalid`, and `no_grant` for others' buckets, whether they
 * exist or not.
 */
export function bucketOf({ params, caller }: Call): OwnedBucket {
  const { bucket = "", wallet } = params;
  if (!isBucketName(bucket)) throw nameInvalid();
  if (wallet !== undefined && wallet.toLowerCase() !== caller.wallet) {
    throw new Refusal("no_grant", "The bucket's owner has not granted this wallet access to it.");
  }
  return { owner: caller.wallet, bucket };
}

export function nameInvalid(): Refusal {
  return new Refusal(
    "name_invalid",
    "A bucket name is 1 to 63 of a-z, 0-9, dot, dash and underscore, and begins with a letter or digit.",
  );
}

export function noSuchBucket(): Refusal {
  return new Refusal("no_such_bucket", "There is no such bucket: check the address, or create it.");
}
