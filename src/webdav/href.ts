/**
 * Paths in requests and answers. A name's bytes are percent-encoded one by one, so that names that are not UTF-8 can be
 * reached too. Ambiguous paths are refused.
 */
import { isUtf8 } from "node:buffer";
import type { FileName } from "../base/ids.ts";
import { MAX_NAME_BYTES } from "../base/limits.ts";
import { nameToBytes } from "../base/names.ts";
import { Refusal } from "./refusal.ts";

export interface Href {
  readonly path: readonly FileName[];
  /** Whether it ends with a slash, as a folder's does. */
  readonly isFolder: boolean;
}

/** A request line's path: origin form, or absolute form with a host already checked. Throws a Refusal, 400 or 414. */
export function parseTarget(target: string): Href {
  return parsePath(target.startsWith("/") ? target : withoutOrigin(target).path);
}

/**
 * A Destination, or a tagged resource of an If header: an absolute path, or an address on `host`, the Host header. Throws a
 * Refusal: 400, 414, or 502 for another host.
 */
export function parseReference(reference: string, host: string | undefined): Href {
  if (reference.startsWith("/") && !reference.startsWith("//")) return parsePath(reference);
  const { scheme, authority, path } = withoutOrigin(reference);
  if (host === undefined || plainAuthority(scheme, authority) !== plainAuthority(scheme, host)) {
    throw new Refusal(502, "The destination is on another server.");
  }
  return parsePath(path);
}

/** "/a%20b/c"; a folder ends with a slash. */
export function encodePath(path: readonly FileName[], isFolder: boolean): string {
  const encoded = path.map((name) => `/${encodeName(name)}`).join("");
  return isFolder ? `${encoded}/` : encoded;
}

/** Everything but RFC 3986's unreserved characters as %XX. */
export function encodeName(name: FileName): string {
  if (!RESERVED.test(name)) return name;
  return name.replace(RESERVED_ALL, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`);
}

/** New names must be UTF-8: others can be reached, but not created here. Throws a Refusal, 400. */
export function checkMakeable(name: FileName): void {
  if (!isUtf8(nameToBytes(name))) throw new Refusal(400, "A new name must be valid UTF-8.");
}

const RESERVED = /[^A-Za-z0-9._~-]/;
const RESERVED_ALL = /[^A-Za-z0-9._~-]/g;

interface Address {
  readonly scheme: string;
  readonly authority: string;
  readonly path: string;
}

const ADDRESS = /^(https?):\/\/([^/?#@]+)([/?#].*)?$/is;

function withoutOrigin(address: string): Address {
  const found = ADDRESS.exec(address);
  if (found === null) throw new Refusal(400, "The address must be an absolute path or an http URL.");
  const [, scheme = "", authority = "", rest = "/"] = found;
  return { scheme: scheme.toLowerCase(), authority, path: rest.startsWith("/") ? rest : `/${rest}` };
}

function plainAuthority(scheme: string, authority: string): string {
  const port = scheme === "https" ? ":443" : ":80";
  const plain = authority.toLowerCase();
  return plain.endsWith(port) ? plain.slice(0, -port.length) : plain;
}

function parsePath(text: string): Href {
  if (text.includes("#")) throw new Refusal(400, "A path must not have a fragment. Write # in a name as %23.");
  const mark = text.indexOf("?");
  const segments = (mark < 0 ? text : text.slice(0, mark)).split("/");
  // Double slashes count as one: some clients put a base address that ends with a slash before paths that begin with one.
  return { path: segments.filter((segment) => segment !== "").map(decodeName), isFolder: segments.at(-1) === "" };
}

function decodeName(segment: string): FileName {
  const name = segment.includes("%") ? decodeBytes(segment) : segment;
  if (name === "." || name === "..") throw new Refusal(400, "A path must not contain dot segments.");
  // eslint-disable-next-line no-control-regex
  if (/[/\0\u{100}-\u{10ffff}]/u.test(name))
    throw new Refusal(400, "A name must not contain a slash, a NUL or a character above U+00FF.");
  if (name.length > MAX_NAME_BYTES) throw new Refusal(414, `A name may have at most ${MAX_NAME_BYTES} bytes.`);
  return name as FileName;
}

function decodeBytes(segment: string): string {
  if (/%(?![0-9A-Fa-f]{2})/.test(segment)) throw new Refusal(400, "A percent sign must be followed by two hex digits.");
  return segment.replace(/%(..)/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}
