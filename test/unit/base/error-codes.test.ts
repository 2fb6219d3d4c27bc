import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { ERROR_STATUSES, EXIT_MEANINGS } from "../../../src/cli/exit-status.ts";

const page = readFileSync(new URL("../../../docs/reference/errors.md", import.meta.url), "utf8");
const rows = [...page.matchAll(/^`(\w+)` \| (\d) \| (.*)$/gm)];

test("docs/reference/errors.md lists every code with its exit status", () => {
  const documented = Object.fromEntries(rows.map(([, code, status]) => [code, Number(status)]));
  expect(documented, "Add the code to docs/reference/errors.md: meaning, and what to do.").toEqual(ERROR_STATUSES);
});

test("every code is documented with its meaning and what to do", () => {
  const silent = rows.filter(([, , , text = ""]) => !/^[A-Z].*[.;:,] .*\.$/.test(text));
  expect(silent).toEqual([]);
});

test("codes are sorted", () => {
  const codes = rows.map(([, code]) => code);
  expect(codes).toEqual(codes.toSorted());
});

test("every exit status has a meaning", () => {
  for (const status of Object.values(ERROR_STATUSES)) expect(EXIT_MEANINGS[status]).toBeTruthy();
});
