/** `URL/PATH` arguments: which part is the bucket, and which names lead on inside it. */
import { SynclineError } from "../base/errors.ts";
import type { FileName } from "../base/ids.ts";
import { nameFromBytes } from "../base/names.ts";
import { openRemote, parseAddress } from "../bucket/open-remote.ts";
import { hasCode } from "../base/errors.ts";
import type { Runtime } from "./runtime.ts";

export interface BucketPath {
  /** The bucket's address, with its pin when there was one. */
  readonly address: string;
  readonly names: readonly FileName[];
  /** Whether the argument ended in a slash: a directory is meant. */
  readonly directory: boolean;
}

/** Finds the bucket by walking up from the whole address. Throws `bad_address`, `no_such_bucket`, `store_unreachable`. */
export async function locateBucket(runtime: Runtime, text: string): Promise<BucketPath> {
  parseAddress(text);
  const url = new URL(text);
  const segments = url.pathname.split("/").filter((segment) => segment !== "");
  for (let depth = segments.length; depth >= 1; depth--) {
    const at = new URL(url);
    at.pathname = `/${segments.slice(0, depth).join("/")}`;
    if (await isBucket(runtime, at.href)) {
      const names = segments.slice(depth).map(decodeSegment);
      return { address: at.href, names, directory: url.pathname.endsWith("/") };
    }
  }
  throw new SynclineError("no_such_bucket", `There is no bucket at ${text}, nor above it.`, {
    hint: "Check the address, or make one with `syncline init`.",
  });
}

async function isBucket({ clock, random }: Runtime, address: string): Promise<boolean> {
  await using remote = openRemote(address, { clock, random });
  try {
    await remote.readGenesis();
    return true;
  } catch (error) {
    if (hasCode(error, "no_such_bucket") || hasCode(error, "store_unreachable")) return false;
    throw error;
  }
}

/** Percent-encoded bytes, so that names that are not UTF-8 can be named too. */
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
