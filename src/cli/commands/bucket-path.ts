/** `URL/PATH` arguments: which part is the bucket, and which names follow inside it. */
import { statSync } from "node:fs";
import { join } from "node:path";
import { hasCode, SynclineError } from "../../base/errors.ts";
import type { FileName } from "../../base/ids.ts";
import { nameFromBytes, nameToBytes } from "../../base/names.ts";
import { failedWith } from "../../base/system-errors.ts";
import { orElse, unlessSync } from "../../base/unless.ts";
import { BadAddress, exactText, parseAddress, pinnedUrl, splitAddress } from "../../bucket/address.ts";
import { bucketInS3, openRemote, type RemoteOptions } from "../../bucket/open-remote.ts";
import { ROOT_OBJECT } from "../../format/blocks/object-name.ts";
import type { MasterAccess } from "../../net/access.ts";
import type { Call } from "../command.ts";

export interface BucketPath {
  /** The bucket's address, with its pin if given. */
  readonly address: string;
  readonly names: readonly FileName[];
  /** Whether the argument ends in a slash, meaning a directory. */
  readonly directory: boolean;
}

/**
 * A master's address itself tells where the bucket's part ends. In a folder or in S3, walks up from the whole address to find
 * the bucket. Throws `bad_address`, `name_invalid`, `no_such_bucket`, `store_unreachable`, and `store_failed` if a parent
 * folder cannot be read.
 */
export async function locateBucket({ runtime }: Call, text: string, access: MasterAccess): Promise<BucketPath> {
  if (/^https?:/i.test(text)) return locateAtMaster(text);
  const url = addressUrl(text);
  const segments = url.pathname.split("/").filter((segment) => segment !== "");
  const addressAt = (depth: number) =>
    Object.assign(new URL(url), { pathname: `/${segments.slice(0, depth).join("/")}` }).href;
  const pathAt = (depth: number): BucketPath => {
    const names = segments.slice(depth).map(decodeSegment);
    return { address: pinnedUrl(parseAddress(addressAt(depth))), names, directory: url.pathname.endsWith("/") };
  };
  const { clock, random } = runtime;
  const remote = { clock, random, access };
  const isInS3 = url.protocol === "s3:";
  const depths = Array.from({ length: segments.length + (isInS3 ? 1 : 0) }, (_, index) => segments.length - index);
  // The walk takes many requests at each depth. It also finds a bucket that lost its root, and reports failed requests.
  const whole = isInS3 ? depths.map(addressAt).find(isAddress) : undefined;
  const found = whole === undefined ? undefined : await bucketInS3(whole, remote);
  if (found !== undefined) return pathAt(found.depth);
  for (const depth of depths) if (await isBucket(addressAt(depth), remote)) return pathAt(depth);
  throw new SynclineError("no_such_bucket", `There is no bucket at ${text} or above it.`, {
    hint: "Check the address, or make one with `syncline init`.",
  });
}

/** At least one path, all in one bucket. Throws `usage`, and as `locateBucket`. */
export async function locateInOne(
  call: Call,
  texts: readonly string[],
  access: MasterAccess,
): Promise<readonly [BucketPath, ...BucketPath[]]> {
  const [first, ...rest] = await Promise.all(texts.map((text) => locateBucket(call, text, access)));
  if (first === undefined) throw new SynclineError("usage", "Give a path in a bucket: URL/PATH.");
  if (rest.some(({ address }) => address !== first.address))
    throw new SynclineError("usage", "These paths are in different buckets.");
  return [first, ...rest];
}

/** A name as `URL/PATH` spells it: percent-encoded where needed, so that it names exactly these bytes. */
export function encodeName(name: FileName): string {
  return nameToBytes(name)
    .toString("latin1")
    .replace(/[^A-Za-z0-9\-._~!$&'()*+,;=:@]/g, percentEncode);
}

function locateAtMaster(text: string): BucketPath {
  refuseControls(text);
  const { address, path } = splitAddress(text);
  return { address: pinnedUrl(address), names: path.map(decodeSegment), directory: /\/(#|$)/.test(text) };
}

/** In a URL, control characters would disappear silently. */
function refuseControls(text: string): void {
  if (!/[\t\n\r]/.test(text)) return;
  throw new SynclineError("bad_address", `${JSON.stringify(text)} contains a control character.`, {
    hint: "Write a newline as %0A and a tab as %09.",
  });
}

/** Parses one of our addresses with `new URL`. Its names need not be UTF-8. */
function addressUrl(text: string): URL {
  refuseControls(text);
  const exact = exactText(text);
  const url = URL.canParse(exact) ? new URL(exact) : undefined;
  const base = url === undefined ? text : Object.assign(new URL(url), { pathname: "/" }).href;
  try {
    parseAddress(base);
  } catch (error) {
    // Quotes the address as it was given.
    throw error instanceof BadAddress ? new BadAddress(text, error.why, error.cause) : error;
  }
  return url ?? new URL(exact);
}

/** A bucket's prefix has only text that all servers take; names inside a bucket may be any bytes. */
function isAddress(text: string): boolean {
  return unlessSync("bad_address", () => parseAddress(text)) !== undefined;
}

async function isBucket(address: string, options: RemoteOptions): Promise<boolean> {
  try {
    const parsed = parseAddress(address);
    if (parsed.scheme === "file" && hasFolderAsRoot(parsed.path)) return false;
    await using remote = await openRemote(address, options);
    await remote.readGenesis();
    return true;
  } catch (error) {
    // A bucket's folder has a text path; names inside the bucket may be any bytes, and their path may be longer.
    if (hasCode(error, "no_such_bucket", "bad_address") || isTooLong(error)) return false;
    throw error;
  }
}

/** Whether no disk can have a folder at this path. */
function isTooLong(error: unknown): boolean {
  return hasCode(error, "store_failed") && failedWith(error.cause, "ENAMETOOLONG");
}

/** Whether `root` is a folder, as on a disk with another system. In a bucket it is a file. */
function hasFolderAsRoot(path: string): boolean {
  return orElse(false, () => statSync(join(path, ROOT_OBJECT)).isDirectory());
}

/** Decodes percent-encoded bytes, so that names need not be UTF-8. */
function decodeSegment(segment: string): FileName {
  const bytes: number[] = [];
  for (let at = 0; at < segment.length; at++) {
    const hex = /^%([0-9a-f]{2})/i.exec(segment.slice(at, at + 3));
    if (hex === null) bytes.push(...Buffer.from(segment[at] ?? "", "utf8"));
    else {
      bytes.push(Number.parseInt(hex[1] ?? "", 16));
      at += 2;
    }
  }
  return nameFromBytes(Uint8Array.from(bytes));
}

function percentEncode(char: string): string {
  return `%${char.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`;
}
