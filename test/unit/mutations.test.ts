/** The list of ways to break the merge goes along with the code: what a mutation replaces is there, and its test too. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { expect, test } from "vitest";

const CHECKOUT = join(import.meta.dirname, "../..");

interface Mutant {
  readonly name: string;
  readonly file: string;
  readonly from: string;
  readonly to: string;
  readonly test: string;
}

test("each mutation's text occurs once in its file, and its test exists", async () => {
  const list = pathToFileURL(join(CHECKOUT, "scripts/mutations/list.mjs")).href;
  const { mutants } = (await import(list)) as { mutants: readonly Mutant[] };
  const isStale = ({ file, from, to, test: noticing }: Mutant) => {
    const parts = readFileSync(join(CHECKOUT, file), "utf8").split(from);
    return parts.length !== 2 || from === to || !existsSync(join(CHECKOUT, noticing));
  };
  expect(mutants.length).toBeGreaterThan(40);
  expect(mutants.filter(isStale).map(({ name }) => name)).toEqual([]);
});
