/** Escapes text for XML 1.0. */

/** For text between tags and in double-quoted attributes. Characters that XML 1.0 does not allow become U+FFFD. */
export function escapeText(text: string): string {
  if (!SPECIAL.test(text)) return text;
  return text.replace(FORBIDDEN, "\u{fffd}").replace(/[&<>"\t\n\r]/g, (char) => ENTITIES[char] ?? char);
}

// Matches all but the Char of XML 1.0 (section 2.2); lone surrogates too, since the u flag takes pairs as one.
const FORBIDDEN = /[^\t\n\r\u{20}-\u{d7ff}\u{e000}-\u{fffd}\u{10000}-\u{10ffff}]/gu;
const SPECIAL = /[^\u{20}\u{21}\u{23}-\u{25}\u{27}-\u{3b}\u{3d}\u{3f}-\u{7e}]/u;

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "\t": "&#9;",
  "\n": "&#10;",
  "\r": "&#13;",
};
