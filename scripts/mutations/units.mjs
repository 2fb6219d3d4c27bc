/** Ways to break the merge of units, each with the tests that must notice it. */

const merge = (file) => `src/bucket/merge/${file}.ts`;
const SCENARIOS = "test/unit/merge-scenarios.test.ts";
const UNITS = "test/property/merge-units.test.ts";

/** `from` stands in the file once. */
export const unitMutants = [
  {
    name: "units are merged file by file",
    file: merge("contested-units"),
    from: "if (!outer.some((root) => contested.has(treeKey(root)))) outermost.push(found);",
    to: "",
    test: SCENARIOS,
  },
  {
    name: "the winner's unit stays even if it is empty",
    file: merge("units"),
    from: "worth(unit.kind, members.winner) >= worth(unit.kind, members.loser)",
    to: "worth(unit.kind, members.winner) >= -worth(unit.kind, members.loser)",
    test: SCENARIOS,
  },
  {
    name: "a unit that both made alike gets a copy",
    file: merge("units"),
    from: "gone.size > 0 && !Buffer.from(hash).equals(await unitHash(state.context, kept))",
    to: "gone.size > 0",
    test: SCENARIOS,
  },
  {
    name: "a unit's copy is made again where it is already",
    file: merge("unit-copies"),
    from: "const same = taken && isDirectory(taken) && ",
    to: "const same = taken && !isDirectory(taken) && ",
    test: UNITS,
  },
  {
    name: "a file outside of a unit loses its name with the unit's copy",
    file: merge("units"),
    from: "if (within === undefined && outside !== undefined) {",
    to: "if (within !== undefined && outside !== undefined) {",
    test: "test/unit/units-crossed.test.ts",
  },
  {
    name: "a file in two units has its name among the other side's files",
    file: merge("unit-names"),
    from: "filter((name) => !this.#given[role].has(placeText(name)))",
    to: "filter(() => true)",
    test: SCENARIOS,
  },
  {
    name: "of a file that each side keeps in another unit the winner has both",
    file: merge("units"),
    from: "if (sameVersion(winners.record, losers.record)) {",
    to: "if (winners !== losers) {",
    test: SCENARIOS,
  },
  {
    name: "who uses a database that gave way goes on in the one that was kept",
    file: merge("unit-copies"),
    from: "noteMoves(state, copy, became, renamed);",
    to: "noteMoves(state, copy, new Map(), []);",
    test: "test/unit/units-followed.test.ts",
  },
];
