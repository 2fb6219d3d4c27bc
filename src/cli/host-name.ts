/** Host names for a server, as given by `--host`. */
import { isIP } from "node:net";
import { domainToASCII } from "node:url";
import { SynclineError } from "../base/errors.ts";

/** In the form of certificates and Host headers: lower case, punycode, addresses without brackets. Throws `usage`. */
export function parseHostName(text: string): string {
  const bare = text.replace(/^\[(.*)\]$/, "$1");
  if (isIP(bare) !== 0 && !bare.includes("%") && (bare === text || isIP(bare) === 6)) return bare.toLowerCase();
  // Checked before the conversion to ASCII, which drops paths and takes numbers for addresses.
  const name = /[\s/:?#@%*\\[\]]/.test(text) ? "" : domainToASCII(text).toLowerCase().replace(/\.$/, "");
  if (name.length <= MAX_NAME && isIP(name) === 0 && name.split(".").every((label) => LABEL.test(label))) return name;
  const isAddress = text.includes("://") || /^[^:]+:\d+$/.test(text) || /^\[.*\]:\d+$/.test(text);
  throw new SynclineError("usage", `--host: ${JSON.stringify(text)} is not a host name.`, {
    hint: isAddress
      ? "Give only the name, without a scheme or port: files.example."
      : "Use a name or address such as files.example, 192.0.2.1 or 2001:db8::1.",
  });
}

const MAX_NAME = 253;
/** No standard allows underscores, but many networks use them. */
const LABEL = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/;
