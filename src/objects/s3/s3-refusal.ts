/** What a refusal of an S3 server means, as an error. */
import { SynclineError } from "../../base/errors.ts";
import type { S3Answer } from "./s3-request.ts";

/** `wallet`: a wallet's bearer signed the request. */
export function refusalOf(
  { status, error }: S3Answer,
  what: string,
  { host, bucket, wallet }: { readonly host: string; readonly bucket: string; readonly wallet: boolean },
): SynclineError {
  const said = [error?.code, error?.message].filter((text) => text !== undefined && text !== "").join(": ");
  const message = `${host} refused ${what} (${status}${said === "" ? "" : ` ${said}`}).`;
  // A server that takes no bearers may call the request anonymous, or its header malformed.
  if (wallet && (status === 400 || status === 401 || status === 403))
    return new SynclineError("bad_token", message, {
      hint: "If this server takes no wallets, leave auth=wallet out of the address, and set access keys.",
    });
  switch (error?.code) {
    case "NoSuchBucket":
      return new SynclineError("store_failed", `${host} has no S3 bucket ${bucket}.`, {
        hint: "Make the S3 bucket with your provider's tools, or correct the address.",
      });
    case "AccessDenied":
    case "AllAccessDisabled":
    case "Forbidden":
      return new SynclineError("store_failed", message, {
        hint: "The key needs s3:GetObject, s3:PutObject, s3:DeleteObject and s3:ListBucket on this bucket.",
      });
    case "InvalidAccessKeyId":
    case "SignatureDoesNotMatch":
    case "InvalidToken":
    case "XAdminUserNotFound":
      return new SynclineError("bad_token", message, { hint: "Check the access key, its secret, and the region." });
    case "ExpiredToken":
    case "ExpiredTokenException":
    case "InvalidTokenId":
    case "TokenRefreshRequired":
      return new SynclineError("bad_token", message, {
        hint: "The session ended: sign in again with your provider's tools, or set a new AWS_SESSION_TOKEN.",
      });
    case "QuotaExceeded":
    case "InsufficientStorage":
    case "XMinioStorageFull":
    case "InsufficientCapacity":
      return new SynclineError("disk_full", message, { hint: "Make room in the S3 account, or raise its quota." });
    default: {
      if (status === 507) return new SynclineError("disk_full", message);
      if (status === 401 || status === 403) return new SynclineError("bad_token", message);
      return new SynclineError("store_failed", message, {
        // An S3 server would have given a reason.
        hint: said === "" ? "Check the endpoint: does it speak http or https?" : undefined,
      });
    }
  }
}
