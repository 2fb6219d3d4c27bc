/** Names that Windows takes as they are. Others lead elsewhere: `NUL` to a device, `a.` to `a`, `a:b` into a stream of `a`. */

/** `name`: as a byte string or as text. */
export function isWindowsName(name: string): boolean {
  return !FORBIDDEN.test(name) && !/[. ]$/.test(name) && !DEVICE.test(name);
}

/** Windows' documentation, "Naming Files, Paths, and Namespaces". */
// eslint-disable-next-line no-control-regex
const FORBIDDEN = /[\u0000-\u001f<>:"/\\|?*]/;
/** With any extension; the last digits are superscripts, in UTF-8 bytes or as text. */
const DEVICE = /^(con|prn|aux|nul|conin\$|conout\$|(com|lpt)(\d|(\u00c2)?[\u00b9\u00b2\u00b3]))\s*(\.|$)/i;
