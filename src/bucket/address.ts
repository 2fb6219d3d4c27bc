/** Parses a bucket's address and normalizes its spelling, so that one bucket has one state. */
import { basename, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { SynclineError } from "../base/errors.ts";
import type { Cid, Wallet } from "../base/ids.ts";
import { MAX_MASTERS } from "../base/limits.ts";
import { parseWallet } from "../crypto/wallet.ts";
import { parseCid } from "../format/blocks/cid.ts";
import { isRegion } from "../objects/s3/region.ts";
import type { S3Location } from "../objects/s3/s3-client.ts";

export type BucketAddress = FolderAddress | S3Address | MasterAddress;

/** A bucket in an object store, without a master. */
export type PackedAddress = FolderAddress | S3Address;

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

export interface S3Address extends AnyAddress, S3Location {
  readonly scheme: "s3";
  readonly isPacked: true;
  readonly isRemote: true;
  /** Of all keys: "" or one that ends with "/". */
  readonly prefix: string;
  /** Keys of the account, or the wallet's bearer. */
  readonly auth: "keys" | "wallet";
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

/** Throws `bad_address`. */
export function parseAddress(text: string): BucketAddress {
  const { address, path } = splitAddress(text);
  if (path.length === 0) return address;
  throw new BadAddress(text, `is a path inside the bucket ${address.url}`);
}

/**
 * A bucket at a master and the path segments after it, unchanged. An address of a folder or in S3 does not tell where
 * the bucket ends, so all of it is the bucket. Throws as `parseAddress`.
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
      return { address: parseS3Address(text), path: [] };
    case "":
      throw new BadAddress(text, "is not a URL");
    default:
      throw new BadAddress(text, `has the unknown scheme ${scheme}://`);
  }
}

/**
 * The text for `new URL`, which would drop blanks and control characters at the ends, and take a backslash for a slash. As
 * escapes they stay in names. On Windows a backslash is a slash.
 */
export function exactText(text: string): string {
  return text.replace(process.platform === "win32" ? /[\0- ]/g : /[\0- \\]/g, encodeURIComponent);
}

/** Masters and clients agree on what names a bucket may have (docs/reference/protocol.md). */
export function isBucketName(text: string): boolean {
  return /^[a-z0-9][a-z0-9._-]{0,62}$/.test(text);
}

function parseFolderAddress(text: string): FolderAddress {
  let url: URL;
  try {
    url = new URL(exactText(text));
  } catch (cause) {
    throw new BadAddress(text, "is not a URL", cause);
  }
  if (url.search !== "" || url.username !== "")
    throw new BadAddress(text, "has a query or a user name, which file:// does not allow");
  const pinnedGenesis = pinOf(text, url.hash);
  if (/%00/.test(url.pathname)) throw new BadAddress(text, "has a NUL byte, which no path can have");
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
    throw new BadAddress(text, cause instanceof Error ? `is invalid: ${cause.message}` : "is invalid", cause);
  }
}

const S3_SETTINGS = ["endpoint", "region", "style", "auth"] as const;
/** Key parts that every S3 server takes. */
const S3_PART = /^[A-Za-z0-9!_.*'()-]{1,255}$/;

function parseS3Address(text: string): S3Address {
  const [, bucket = "", path = "", search = "", hash = ""] =
    /^s3:\/\/([^/?#]*)([^?#]*)(\?[^#]*)?(#.*)?$/is.exec(text) ?? [];
  // No setting or pin has an @.
  const isKeyed = TO_LAST_AT.test(namesUser(bucket) ? text : search + hash);
  if (isKeyed) throw new BadAddress(text, HOLDS_KEY);
  if (!/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(bucket)) throw new BadAddress(text, "has no valid S3 bucket name");
  const settings = new URLSearchParams(search);
  for (const name of settings.keys()) {
    if (!S3_SETTINGS.some((known) => known === name))
      throw new BadAddress(text, `has the unknown setting ${JSON.stringify(name)}`);
  }
  const parts = path.split("/").filter((part) => part !== "");
  const wrong = parts.find((part) => !S3_PART.test(part) || part === "." || part === "..");
  if (wrong !== undefined)
    throw new BadAddress(text, `has a prefix that not every S3 server takes, ${JSON.stringify(wrong)}`);
  const endpoint = endpointOf(text, settings.get("endpoint"));
  const region = settings.get("region") || undefined;
  if (region !== undefined && !isRegion(region)) throw new BadAddress(text, "has an invalid region");
  const style = choice(text, settings, "style", endpoint === undefined ? ["virtual", "path"] : ["path", "virtual"]);
  const auth = choice(text, settings, "auth", ["keys", "wallet"]);
  if (auth === "wallet" && endpoint === undefined) throw new BadAddress(text, "needs an endpoint for auth=wallet");
  // A bucket has one spelling: settings in one order, without those that are the default.
  const shown = [
    ...(endpoint === undefined ? [] : [`endpoint=${endpoint}`]),
    ...(region === undefined ? [] : [`region=${region}`]),
    ...(style === (endpoint === undefined ? "virtual" : "path") ? [] : [`style=${style}`]),
    ...(auth === "keys" ? [] : [`auth=${auth}`]),
  ].join("&");
  return {
    url: `s3://${[bucket, ...parts].join("/")}${shown === "" ? "" : `?${shown}`}`,
    scheme: "s3",
    isPacked: true,
    isRemote: true,
    bucket,
    prefix: parts.map((part) => `${part}/`).join(""),
    endpoint,
    region,
    style,
    auth,
    name: parts.at(-1) ?? bucket,
    pinnedGenesis: pinOf(text, hash),
  };
}

function endpointOf(text: string, endpoint: string | null): string | undefined {
  if (endpoint === null || endpoint === "") return undefined;
  const whole = /^https?:\/\//i.test(endpoint) ? endpoint : `https://${endpoint}`;
  if (!URL.canParse(whole)) throw new BadAddress(text, "has an endpoint that is not a URL");
  const url = new URL(whole);
  if (url.pathname !== "/" || url.search !== "") throw new BadAddress(text, "has an endpoint with a path");
  return url.origin;
}

/** The first choice is the default. */
function choice<Value extends string>(
  text: string,
  settings: URLSearchParams,
  name: (typeof S3_SETTINGS)[number],
  choices: readonly [Value, ...Value[]],
): Value {
  const given = settings.get(name);
  const chosen = given === null ? choices[0] : choices.find((known) => known === given);
  if (chosen === undefined) throw new BadAddress(text, `needs ${name} to be ${choices.join(" or ")}`);
  return chosen;
}

/** Splits hosts at commas before anything is parsed: a URL cannot have several. */
function splitMasterAddress(text: string): { address: MasterAddress; path: string[] } {
  const [, scheme = "", hosts = "", rest = ""] = /^(https?:\/\/)([^/?#]*)(.*)$/is.exec(text) ?? [];
  const origins = [...new Set(hosts.split(",").map((host) => originOf(text, scheme, host)))];
  if (origins.length > MAX_MASTERS) throw new BadAddress(text, `names more than ${MAX_MASTERS} masters`);
  // Not relative to the origin: "//x" would name another host.
  const url = new URL(`${origins[0]}/${exactText(rest.replace(/^\/+/, ""))}`);
  if (url.search !== "") throw new BadAddress(text, "has a query string");
  const segments = url.pathname.split("/").filter((segment) => segment !== "");
  const owner = /^0x[0-9a-f]{40}$/i.test(segments[0] ?? "") ? parseWallet(segments[0] ?? "") : undefined;
  const [bucket = "", ...path] = owner === undefined ? segments : segments.slice(1);
  if (bucket === "") throw new BadAddress(text, "names no bucket: add /NAME after the host");
  if (!isBucketName(bucket)) {
    throw new BadAddress(
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
    const which = namesUser(host) ? "" : `, ${JSON.stringify(host)}`;
    throw new BadAddress(text, `has an invalid host${which}`, cause);
  }
  if (url.username !== "" || url.password !== "") {
    throw new BadAddress(text, "contains a user name or password; put it in the environment or a keystore");
  }
  return url.origin;
}

function pinOf(text: string, hash: string): Cid | undefined {
  try {
    return hash.length > 1 ? parseCid(hash.slice(1)) : undefined;
  } catch (cause) {
    throw new BadAddress(text, "has an invalid genesis after #", cause);
  }
}

const FORMS = "A bucket's address looks like file:///path/to/bucket, s3://bucket/prefix or https://host:port/bucket.";
const S3_FORM =
  "It looks like s3://bucket/prefix/path?endpoint=…&region=…: a path precedes the question mark. " +
  "The settings are endpoint, region, style and auth.";

const HOLDS_KEY = "holds a key, which belongs into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY";
const TO_LAST_AT = /^.*(?:@|%(?:25)*40)/is;

/** Whether a host has more than names and ports, perhaps a user, or the beginning of a key with a slash. */
function namesUser(host: string): boolean {
  return TO_LAST_AT.test(host) || /:(?!\d*(?:,|$))/.test(host.replaceAll(/\[[^\]]*\]/g, ""));
}

/** The address for display, without what may be a key: what precedes an @, and values of unknown settings. */
function withoutKeys(text: string): string {
  const [, scheme = "", rest = "", host = "", path = "", settings = ""] =
    /^([a-z][a-z0-9+.-]*:\/\/)?(([^/?#]*)([^?#]*)(.*))$/is.exec(text) ?? [];
  if (namesUser(host)) return scheme + rest.replace(TO_LAST_AT, "…@");
  const known = `(?:${S3_SETTINGS.join("|")})=`;
  const shown = settings
    .replace(TO_LAST_AT, "?…@")
    .replaceAll(new RegExp(`([?&])(?!${known})([^=&#]*)=[^&#]*`, "gi"), "$1$2=…");
  return scheme + host + path + shown;
}

/** `why` follows the address in the message. Keys are not shown. */
export class BadAddress extends SynclineError {
  readonly why: string;

  constructor(text: string, why: string, cause?: unknown) {
    const shown = JSON.stringify(withoutKeys(text));
    super("bad_address", `${shown} ${why}.`, { hint: text.startsWith("s3://") ? S3_FORM : FORMS, cause });
    this.why = why;
  }
}
