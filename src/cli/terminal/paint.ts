/** Colors, for terminals that have them and people who want them (https://no-color.org). */
import type { Runtime } from "../runtime.ts";

export type Colour = "bold" | "dim" | "red" | "green" | "yellow" | "blue";

/** Colors text that is already safe to print. */
export type Paint = (colour: Colour, text: string) => string;

/** How to color a line of a result. */
export type Look = (line: string, paint: Paint) => string;

/** For a stream without colors, changes nothing. */
export function paintFor(env: Runtime["env"], stream: { readonly isTTY?: boolean }): Paint {
  const wants = stream.isTTY === true && (env["NO_COLOR"] ?? "") === "" && env["TERM"] !== "dumb";
  return wants ? (colour, text) => `\u001b[${CODES[colour]}m${text}\u001b[0m` : (_, text) => text;
}

/** Select Graphic Rendition (ECMA-48, 8.3.117). */
const CODES: Readonly<Record<Colour, number>> = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, blue: 34 };
