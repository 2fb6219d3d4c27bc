/** Parses a bucket's address and normalizes its spelling, so that one bucket has one state. */
import { basename, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { SynclineError } from "../base/errors.ts";
import type { Cid, Wallet } from "../base/ids.ts";
import { parseWallet } from "../crypto/wallet.ts";
import { parseCid } from "../format/blocks/cid.ts";

export type BucketAddress = FolderAddress | MasterAddress;

interface AnyAddress {
  /** The address without the pin, for display. */
  readonly url: string;
  /** From `#<genesis CID>`: the genesis that the bucket must have. */
  readonly pinnedGenesis: Cid | undefined;
  /** The name for a copy of the whole bucket. */
  readonly name: string;
}

export interface FolderAddress extends AnyAddress {
  readonly scheme: "file";
  /** All writers have access to its objects, in the packed layout: writers collect and audit them. */
  readonly isPacked: true;
  /** Whether it is reached over a network, so that callers wait when it does not answer. */
  readonly isRemote: false;
  readonly path: string;
}

export interface MasterAddress extends AnyAddress {
  readonly scheme: "http";
  /** The master keeps, collects and audits its storage itself. */
  readonly isPacked: false;
  readonly isRemote: true;
  /** One or several masters of the bucket, in the order to try them. */
  readonly origins: readonly string[];
  /** Undefined: the caller's own bucket. */
  readonly owner: Wallet | undefined;
  readonly bucket: string;
}

/** The address in its normalized spelling, with the pin. */
export function pinnedUrl({ url, pinnedGenesis }: BucketAddress): string {
  return pinnedGenesis === undefined ? url : `${url}#${pinnedGenesis}`;
}

/** Throws `bad_address`, and `not_supported` for storage that is not supported yet. */
export function parseAddress(text: string): BucketAddress {
  const { address, path } = splitAddress(text);
  if (path.length === 0) return address;
  throw badAddress(text, `is a path inside the bucket ${address.url}`);
}

/**
 * A bucket at a master and the path segments after it, unchanged. A folder's address does not tell where the bucket ends,
 * so all of it is the bucket. Throws as `parseAddress`.
 */
export function splitAddress(text: string): { readonly address: BucketAddress; readonly path: readonly string[] } {
  const [, scheme = ""] = /^([a-z][a-z0-9+.-]*):\/\//i.exec(text) ?? [];
  switch (scheme.toLowerCase()) {
    case "http":
    case "https":
      return splitMasterAddress(text);
    case "file":
      return { address: parseFolderAddress(text), path: [] };
    case "s3":
      throw new SynclineError("not_supported", "s3:// buckets are not supported yet.", {
        hint: "Use a folder (file:///path/to/bucket) or a master (https://host/bucket).",
      });
    case "":
      throw badAddress(text, "is no URL");
    default:
      throw badAddress(text, `has the unknown scheme ${scheme}://`);
  }
}

/** Masters and clients agree on what names a bucket may have (docs/reference/protocol.md). */
export function isBucketName(text: string): boolean {
  return /^[a-z0-9][a-z0-9._-]{0,62}$/.test(text);
}

/** The most masters in one list. */
const MAX_ORIGINS = 16;

function parseFolderAddress(text: string): FolderAddress {
  let url: URL;
  try {
    url = new URL(text);
  } catch (cause) {
    throw badAddress(text, "is no URL", cause);
  }
  if (url.search !== "" || url.username !== "")
    throw badAddress(text, "has a query or a user name, which file:// does not allow");
  const pinnedGenesis = pinOf(text, url.hash);
  try {
    const path = resolve(fileURLToPath(url));
    return {
      url: pathToFileURL(path).href,
      scheme: "file",
      isPacked: true,
      isRemote: false,
      path,
      name: basename(path),
      pinnedGenesis,
    };
  } catch (cause) {
    throw badAddress(text, cause instanceof Error ? `is invalid: ${cause.message}` : "is invalid", cause);
  }
}

/** Splits hosts at commas before anything is parsed: a URL cannot have several. */
function splitMasterAddress(text: string): { address: MasterAddress; path: string[] } {
  const [, scheme = "", hosts = "", rest = ""] = /^(https?:\/\/)([^/?#]*)(.*)$/is.exec(text) ?? [];
  const origins = [...new Set(hosts.split(",").map((host) => originOf(text, scheme, host)))];
  if (origins.length > MAX_ORIGINS) throw badAddress(text, `names more than ${MAX_ORIGINS} masters`);
  // Not relative to the origin: "//x" would name another host.
  const url = new URL(`${origins[0]}/${rest.replace(/^\/+/, "")}`);
  if (url.search !== "") throw badAddress(text, "has a query string");
  const segments = url.pathname.split("/").filter((segment) => segment !== "");
  const owner = /^0x[0-9a-f]{40}$/i.test(segments[0] ?? "") ? parseWallet(segments[0] ?? "") : undefined;
  const [bucket = "", ...path] = owner === undefined ? segments : segments.slice(1);
  if (bucket === "") throw badAddress(text, "names no bucket: add /NAME after the host");
  if (!isBucketName(bucket)) {
    throw badAddress(
      text,
      "has an invalid bucket name: use at most 63 of a-z, 0-9, . _ - and begin with a letter or digit",
    );
  }
  const pinnedGenesis = pinOf(text, url.hash);
  const shown = `${origins[0]?.replace(/\/\/.*/, "//")}${origins.map((origin) => origin.replace(/.*\/\//, "")).join(",")}`;
  const address: MasterAddress = {
    url: `${shown}/${owner === undefined ? "" : `${owner}/`}${bucket}`,
    scheme: "http",
    isPacked: false,
    isRemote: true,
    origins,
    owner,
    bucket,
    name: bucket,
    pinnedGenesis,
  };
  return { address, path };
}

function originOf(text: string, scheme: string, host: string): string {
  let url: URL;
  try {
    url = new URL(`${scheme}${host}`);
  } catch (cause) {
    throw badAddress(text, `has an invalid host, ${JSON.stringify(host)}`, cause);
  }
  if (url.username !== "" || url.password !== "") {
    throw badAddress(text, "contains a user name or password; put it in the environment or a keystore");
  }
  return url.origin;
}

function pinOf(text: string, hash: string): Cid | undefined {
  try {
    return hash.length > 1 ? parseCid(hash.slice(1)) : undefined;
  } catch (cause) {
    throw badAddress(text, "has an invalid genesis after #", cause);
  }
}

function badAddress(text: string, why: string, cause?: unknown): SynclineError {
  const shown = JSON.stringify(text.replace(/\/\/[^/?#]*@/, "//…@"));
  return new SynclineError("bad_address", `${shown} ${why}.`, {
    hint: "A bucket's address looks like file:///path/to/bucket or https://host:port/bucket.",
    cause,
  });
}
