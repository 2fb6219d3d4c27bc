/** Why a bucket's lock cannot be had. */
import { SynclineError } from "../base/errors.ts";
import { describeHolder, type LockHolder } from "./lock-holder.ts";

export function unusable(path: string): SynclineError {
  return new SynclineError("store_failed", `Cannot take the bucket's lock: ${path} can neither be read nor replaced.`, {
    hint: "If it is a dangling symbolic link, remove it, or free the bucket with `syncline unlock URL`.",
  });
}

export function alive(path: string, holder: LockHolder): SynclineError {
  return new SynclineError(
    "bucket_locked",
    `The bucket is locked by ${describeHolder(holder)}, which is running (${path}).`,
    { hint: "Locks are held only briefly. If that process hangs, stop it, or take its lock with --force." },
  );
}

export function locked(path: string, holder: LockHolder | undefined): SynclineError {
  return new SynclineError("bucket_locked", `The bucket is locked by ${describeHolder(holder)} (${path}).`, {
    hint: "If that process no longer runs, free the bucket with `syncline unlock URL`.",
  });
}
