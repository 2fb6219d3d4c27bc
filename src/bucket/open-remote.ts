/** From a bucket's address to the bucket: the one place that knows which storage an address means. */
import { fileURLToPath } from "node:url";
import type { Clock } from "../base/clock.ts";
import { SynclineError } from "../base/errors.ts";
import type { Cid, WriterId } from "../base/ids.ts";
import type { Random } from "../base/random.ts";
import { parseCid } from "../format/cid.ts";
import { FileObjectStore } from "../objects/file-object-store.ts";
import { PackedRemote } from "./packed/packed-remote.ts";

export interface BucketAddress {
  /** The address without the pin, as people should see it. */
  readonly url: string;
  readonly scheme: "file";
  /** The folder of a `file://` bucket. */
  readonly path: string;
  /** From `#<genesis CID>`: the genesis that the bucket has to have. */
  readonly pinnedGenesis: Cid | undefined;
}

export interface RemoteOptions {
  readonly clock: Clock;
  readonly random: Random;
  /** Who uploads; absent for reading. */
  readonly writer?: WriterId | undefined;
}

/** Takes an address apart (design.md §2). Throws `bad_address`, and `not_supported` for storage that is not there yet. */
export function parseAddress(text: string): BucketAddress {
  let url: URL;
  try {
    url = new URL(text);
  } catch (cause) {
    throw badAddress(text, "is no URL", cause);
  }
  if (["s3:", "https:", "http:"].includes(url.protocol)) {
    throw new SynclineError("not_supported", `Buckets at ${url.protocol}// come with a later version.`, {
      hint: "Use a folder: file:///path/to/bucket.",
    });
  }
  if (url.protocol !== "file:") throw badAddress(text, `has the unknown scheme ${url.protocol}//`);
  if (url.search !== "" || url.username !== "") throw badAddress(text, "has parts that a file:// address cannot have");
  const pin = url.hash.slice(1);
  url.hash = "";
  try {
    return {
      url: url.href,
      scheme: "file",
      path: fileURLToPath(url),
      pinnedGenesis: pin === "" ? undefined : parseCid(pin),
    };
  } catch (cause) {
    throw badAddress(text, cause instanceof Error ? `is wrong: ${cause.message}` : "is wrong", cause);
  }
}

/** Opens the bucket without touching it yet. Throws as `parseAddress`. */
export function openRemote(address: string, options: RemoteOptions): PackedRemote {
  const { url, path } = parseAddress(address);
  return new PackedRemote(new FileObjectStore({ path, address: url, ...options }), options);
}

function badAddress(text: string, why: string, cause?: unknown): SynclineError {
  return new SynclineError("bad_address", `${JSON.stringify(text)} ${why}.`, {
    hint: "A bucket's address looks like file:///path/to/bucket.",
    cause,
  });
}
