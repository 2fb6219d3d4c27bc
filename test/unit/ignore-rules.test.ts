/** Rules of what is not synced. */
import { expect, test, vi } from "vitest";
import { NO_RULES, parseRules } from "../../src/sync/scan/ignore-rules.ts";
import { path } from "../support/sync-world.ts";

test.each(["", "\n", "# nothing\r\n  \n", "#\n#\n"])(
  "in %j there is no rule, and no path is looked for in it",
  async (text) => {
    const rules = await parseRules(text);
    const at = path("a/b");
    const spells = vi.spyOn(at, "map");
    expect(rules.ignores(at, false)).toBe(false);
    expect(spells).not.toHaveBeenCalled();
    expect(rules.ignores(path(".syncline/new"), true)).toBe(true);
    expect(rules.ignores([], true)).toBe(false);
  },
);

test.each([
  ["*.tmp", "a.tmp", "a.TMP"],
  ["# all but one\n*\n!/kept", "other", "kept"],
  ["\\#a", "#a", "a"],
  ["b\r\n", "a/b", "a/c"],
])("%j leaves %j alone and not %j", async (text, ignored, kept) => {
  const rules = await parseRules(text);
  expect([rules.ignores(path(ignored), false), rules.ignores(path(kept), false)]).toEqual([true, false]);
});

test("no rules are those of an empty text, and others are told from them", async () => {
  expect((await parseRules("")).digest).toBe(NO_RULES.digest);
  expect((await parseRules("a")).digest).not.toBe(NO_RULES.digest);
});
