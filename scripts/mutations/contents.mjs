/** Ways to break the merge of contents, each with the tests that must notice it. */

const SCENARIOS = "test/unit/fstree/merge/scenarios.test.ts";
const TEXT = "test/unit/fstree/merge/contents/text.test.ts";
const NAMES = "test/unit/fstree/merge/conflict-names.test.ts";

/** `from` stands in the file once. */
export const contentMutants = [
  {
    name: "text that touches is merged",
    file: "src/fstree/merge/contents/lines.ts",
    from: "hunk.start <= last.end",
    to: "hunk.start < last.end",
    test: "test/unit/fstree/merge/contents/text.test.ts",
  },
  {
    name: "a log's unfinished line is joined with the next",
    file: "src/fstree/merge/contents/log.ts",
    from: "const isTorn = !(await endsLine(context, base)) || !(await endsLine(context, winner));",
    to: "const isTorn = false;",
    test: "test/unit/fstree/merge/contents/log.test.ts",
  },
  {
    name: "text of two kinds of line endings is merged",
    file: "src/fstree/merge/contents/text.ts",
    from: "  if (endings.length > 1) return undefined;\n",
    to: "",
    test: TEXT,
  },
  {
    name: "text with a NUL is merged",
    file: "src/fstree/merge/contents/text.ts",
    from: "  if (bytes.includes(0)) return undefined;\n",
    to: "",
    test: TEXT,
  },
  {
    name: "text longer than the policy allows is merged",
    file: "src/fstree/merge/contents/text.ts",
    from: "  if (sides.some(({ size }) => size > context.policy.textBytes)) return undefined;\n",
    to: "",
    test: TEXT,
  },
  {
    name: "a merge may give one mapping a key twice",
    file: "src/fstree/merge/contents/structured-text.ts",
    from: "  return repeatsMore(repeated, ",
    to: "  return false && repeatsMore(repeated, ",
    test: SCENARIOS,
  },
  {
    name: "merged TOML need not parse",
    file: "src/fstree/merge/contents/structured-text.ts",
    from: '  return !endings.has("toml") || parsesAsToml(merged);',
    to: "  return true;",
    test: "test/unit/fstree/merge/contents/structured-text.test.ts",
  },
  {
    name: "merged JSON need not parse",
    file: "src/fstree/merge/contents/structured-text.ts",
    from: "  } catch {\n    return undefined;\n",
    to: "  } catch {\n    return NONE;\n",
    test: SCENARIOS,
  },
  {
    name: "one name that is text is enough",
    file: "src/fstree/merge/globs.ts",
    from: "names.every((name) => ready.match(name))",
    to: "names.some((name) => ready.match(name))",
    test: NAMES,
  },
  {
    name: "the loser's lines of a log are dropped",
    file: "src/fstree/merge/contents/log.ts",
    from: "const tail = other.size - start;",
    to: "const tail = 0;",
    test: "test/unit/fstree/merge/contents/log.test.ts",
  },
  {
    name: "of a log its length alone says that it was appended to",
    file: "src/fstree/merge/contents/log.ts",
    from: "if (different >= 0) return common + different;",
    to: "",
    test: "test/unit/fstree/merge/contents/log.test.ts",
  },
  {
    name: "a log is taken for one with more lines although it lacks some of the base",
    file: "src/fstree/merge/contents/log.ts",
    from: "return found === expected.length;",
    to: "return true;",
    test: "test/unit/fstree/merge/contents/log.test.ts",
  },
  {
    name: "the loser's bytes get the winner's time",
    file: "src/fstree/merge/contents/content.ts",
    from: "return { of: loser, mtimeNs: loser.mtimeNs, conflict: false };",
    to: "return { of: loser, mtimeNs: winner.mtimeNs, conflict: false };",
    test: SCENARIOS,
  },
];
