/** Builds HTML from parts: any part that is not HTML already is escaped as text. */

export class Html {
  readonly text: string;
  /** For text that is HTML already; elsewhere use `html`. */
  constructor(text: string) {
    this.text = text;
  }
}

type Part = string | number | Html | readonly Html[] | undefined;

/** html`<b title="${text}">${text}</b>`: escapes parts for text and for double-quoted values; undefined becomes nothing. */
export function html(strings: TemplateStringsArray, ...parts: readonly Part[]): Html {
  return new Html(strings.map((string, index) => string + textOf(parts[index])).join(""));
}

function textOf(part: Part): string {
  if (part === undefined) return "";
  if (part instanceof Html) return part.text;
  if (typeof part === "object") return part.map(({ text }) => text).join("");
  return String(part).replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);
}
