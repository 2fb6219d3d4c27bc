/** Rules of what is not synced. */
import { expect, test, vi } from "vitest";
import { NO_RULES, parseRules } from "../../../../src/sync/scan/ignore-rules.ts";
import { path } from "../../../support/sync-world.ts";

test.each(["", "\n", "# nothing\r\n  \n", "#\n#\n"])(
  "%j contains no rule, and no path is matched against it",
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
])("%j ignores %j but not %j", async (text, ignored, kept) => {
  const rules = await parseRules(text);
  expect([rules.ignores(path(ignored), false), rules.ignores(path(kept), false)]).toEqual([true, false]);
});

test("an agent's own files are ignored with all their contents, even those of a nested synced folder", async () => {
  const rules = await parseRules("", [path(".local/state/syncline"), path("key.json")]);
  const ignored = [".local/state/syncline", ".local/state/syncline/1/sync.db", "key.json", "a/.syncline/folder.json"];
  const kept = [".local/state", ".local/state/syncline2", "a/key.json", "syncline"];
  expect(ignored.map((each) => rules.ignores(path(each), false))).toEqual(ignored.map(() => true));
  expect(kept.map((each) => rules.ignores(path(each), false))).toEqual(kept.map(() => false));
  expect(rules.digest).not.toBe(NO_RULES.digest);
});

test("an empty text equals no rules, and other rules have another digest", async () => {
  expect((await parseRules("")).digest).toBe(NO_RULES.digest);
  expect((await parseRules("a")).digest).not.toBe(NO_RULES.digest);
});

test.each([`*.tmp\n${"x".repeat(5_000)}`, "a/b/c\n".repeat(200_000)])(
  "rules that are too long are refused",
  async (text) => {
    await expect(parseRules(text)).rejects.toMatchObject({ code: "precondition_failed" });
  },
);

test("rules in UTF-16, as Windows PowerShell writes them, are refused: none of them would match", async () => {
  const text = Buffer.from("\ufeffsecret*\r\n", "utf16le").toString("utf8");
  await expect(parseRules(text)).rejects.toMatchObject({ code: "precondition_failed" });
});
