/** Ways to break the merge of units, each with the tests that must notice it. */

const SCENARIOS = "test/unit/fstree/merge/scenarios.test.ts";
const UNITS = "test/property/fstree/merge/units/units.test.ts";

/** `from` stands in the file once. */
export const unitMutants = [
  {
    name: "units are merged file by file",
    file: "src/fstree/merge/units/contested-units.ts",
    from: "if (!(await isInContested(found.unit))) outermost.push(found);",
    to: "",
    test: SCENARIOS,
  },
  {
    name: "the winner's unit stays even if it is empty",
    file: "src/fstree/merge/units/units.ts",
    from: "worth(unit.kind, members.winner) >= worth(unit.kind, members.loser)",
    to: "worth(unit.kind, members.winner) >= -worth(unit.kind, members.loser)",
    test: SCENARIOS,
  },
  {
    name: "a unit that both made alike gets a copy",
    file: "src/fstree/merge/units/units.ts",
    from: "gone.size > 0 && !Buffer.from(hash).equals(await unitHash(state.context, kept))",
    to: "gone.size > 0",
    test: SCENARIOS,
  },
  {
    name: "a unit's copy is made again where it is already",
    file: "src/fstree/merge/units/unit-copies.ts",
    from: "const same = taken && isDirectory(taken) && ",
    to: "const same = taken && !isDirectory(taken) && ",
    test: UNITS,
  },
  {
    name: "a file outside of a unit loses its name with the unit's copy",
    file: "src/fstree/merge/units/units.ts",
    from: "if (outside === undefined) settle(",
    to: "if (outside !== null) settle(",
    test: "test/unit/fstree/merge/units/crossed.test.ts",
  },
  {
    name: "a file in two units has its name among the other side's files",
    file: "src/fstree/merge/units/unit-names.ts",
    from: "filter((name) => !places.has(placeText(name)))",
    to: "filter(() => true)",
    test: SCENARIOS,
  },
  {
    name: "of a file that each side keeps in another unit the winner has both",
    file: "src/fstree/merge/units/units.ts",
    from: "if (isLinked && sameVersion(ours.record, theirs.record))",
    to: "if (isLinked)",
    test: SCENARIOS,
  },
  {
    name: "a link out of a unit changes the unit",
    file: "src/fstree/merge/units/unit-members.ts",
    from: "if (!samePlaces(sortPlaces(places), sortPlaces(other.places))) return true;",
    to: "if (!samePlaces(object.names, other.object.names)) return true;",
    test: SCENARIOS,
  },
  {
    name: "a link out of a unit is lost with the unit's other version",
    file: "src/fstree/merge/units/units.ts",
    from: "const apart = theirs.names.filter((name) => hasOldNames || !hasName(base, name));",
    to: "const apart = theirs.names.filter(() => hasOldNames);",
    test: UNITS,
  },
  {
    name: "a link out of a unit gets the bytes that others wrote in the unit",
    file: "src/fstree/merge/units/contested-units.ts",
    from: "alike.length === 1 && !differ(",
    to: "alike.length === 3 && !differ(",
    test: SCENARIOS,
  },
  {
    name: "links that only the keeper of a unit removed come back",
    file: "src/fstree/merge/units/units.ts",
    from: "mergeNameSets(outside?.names ?? [], ours.names",
    to: "mergeNameSets([], ours.names",
    test: SCENARIOS,
  },
  {
    name: "a removed directory that moved comes back without a unit's files that gained names",
    file: "src/fstree/merge/moved-and-removed.ts",
    from: "state.kept.get(id) !== mover && ",
    to: "",
    test: SCENARIOS,
  },
  {
    name: "who uses a database that lost the conflict goes on in the one that was kept",
    file: "src/fstree/merge/units/unit-copies.ts",
    from: "noteUnit(state, copy, became, renamed);",
    to: "noteUnit(state, copy, new Map(), []);",
    test: "test/unit/overlay/units-followed.test.ts",
  },
];
