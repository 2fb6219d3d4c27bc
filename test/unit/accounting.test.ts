/** What the drill of agents that work at once counts as lost: too much and it cries wolf, too little and it is blind. */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { type Operation, unexplained } from "../../scripts/drills/accounting.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

/** Each commit: its writer, its second, and where the version is in its tree. */
type Step = readonly [writer: string, second: number, path?: string];

function lost(steps: readonly Step[], ...operations: readonly Operation[]): string[] {
  const commits = steps.map(([writer, second], index) => ({
    seq: index + 1,
    root: String(index),
    writer,
    time: new Date(second * 1_000).toISOString(),
  }));
  const treeAt = (root: string) => {
    const path = steps[Number(root)]?.[2];
    return new Map(path === undefined ? [] : [[path, { tokens: ["T"] }]]);
  };
  const writers = new Map([
    ["a", "A"],
    ["b", "B"],
  ]);
  return unexplained(["T"], { operations, commits, writers, treeAt });
}

function byA(began: number, t: number, hits: Partial<Pick<Operation, "raced" | "touched">>): Operation {
  return { by: "a", began, t, raced: [], touched: [], ...hits };
}

describe("a version that is gone", () => {
  const gone: Step[] = [
    ["B", 1, "d/f"],
    ["A", 5],
  ];

  test("is explained by an operation at its name that raced with others' changes", () => {
    expect(lost(gone, byA(3, 4, { raced: ["d/f"] }))).toEqual([]);
  });

  test("is lost if the operation is missing, at another name, another agent's, or later", () => {
    expect(lost(gone)).toEqual(["T"]);
    expect(lost(gone, byA(3, 4, { raced: ["d/g"] }))).toEqual(["T"]);
    expect(lost(gone, { ...byA(3, 4, { raced: ["d/f"] }), by: "b" })).toEqual(["T"]);
    expect(lost(gone, byA(6, 7, { raced: ["d/f"] }))).toEqual(["T"]);
  });

  test("is lost if it disappeared in a later commit than the operation's", () => {
    const late: Step[] = [
      ["B", 1, "f"],
      ["A", 5, "f"],
      ["A", 6, "f"],
      ["A", 7],
    ];
    expect(lost(late, byA(3, 4, { raced: ["f"] }))).toEqual(["T"]);
  });

  test("is explained by an operation that began several commits ago and has just ended", () => {
    const long: Step[] = [
      ["B", 1, "f"],
      ["A", 5, "f"],
      ["A", 6, "f"],
      ["A", 7],
    ];
    expect(lost(long, byA(3, 6.5, { raced: ["f"] }))).toEqual([]);
  });

  test("is explained by a touch of the file before it was read, if the touch was published in between", () => {
    const published: Step[] = [
      ["B", 1, "f"],
      ["A", 5, "f"],
      ["A", 7],
    ];
    expect(lost(published, byA(3, 6, { touched: ["f"] }))).toEqual([]);
    expect(lost(published, byA(3, 4, { touched: ["f"] }))).toEqual(["T"]);
  });
});

test.skipIf(process.platform !== "linux")(
  "a file that was unlinked right before the agent died is recorded as destroyed",
  async () => {
    const folder = await temporaryFolder();
    const script = `
import json, os, sys
import watched
path = os.path.join(sys.argv[1], "f")
open(path, "w").write("Tb000001.")
file = watched.Watched(path)
os.unlink(path)
def dead(fd):
    raise OSError(107, "not connected")
watched.read_all = dead
print(json.dumps([sorted(file.destroyed()), file.raced]))
`;
    expect(python(script, folder)).toEqual([[["Tb000001."], true]]);
  },
);

test.skipIf(process.platform !== "linux")(
  "an overwrite that succeeded is recorded even if its name is gone afterwards; a refused one records only what it destroyed",
  async () => {
    const folder = await temporaryFolder();
    const script = `
import json, os, sys
from churn import Churn
from operations import overwrite
worker = Churn(sys.argv[1], "a", "1", sys.argv[1], sys.argv[1])
os.makedirs(worker.inside("d"))
def displaced(root, path, data):
    overwrite(root, path, data)
    os.rename(worker.inside("d"), worker.inside("elsewhere"))
    open(worker.inside("d"), "w").close()
def cut_short(root, path, data):
    os.truncate(worker.inside(path), 0)
    raise OSError(28, "no space")
def refused(root, path, data):
    raise OSError(28, "no space")
def told(path, function):
    open(worker.inside(path), "w").write("Tb000001.")
    made, gone, worker.raced, worker.touched = set(), set(), [], []
    try:
        worker.in_place(made, gone, path, lambda before: b"Ta000002.", function, b"Ta000002.")
    except OSError:
        pass
    print(json.dumps([sorted(made), sorted(gone), worker.raced]))
told("d/f", displaced)
told("g", cut_short)
told("h", refused)
`;
    expect(python(script, folder)).toEqual([
      [["Ta000002."], ["Tb000001."], ["d/f"]],
      [[], ["Tb000001."], ["g"]],
      [[], [], ["h"]],
    ]);
  },
);

/** The lines of JSON that a script of the drills prints. */
function python(script: string, folder: string): unknown[] {
  const run = spawnSync("python3", ["-B", "-c", script, folder], {
    encoding: "utf8",
    env: { ...process.env, PYTHONPATH: join(import.meta.dirname, "../../scripts/drills") },
  });
  expect(run.stderr).toBe("");
  const lines = run.stdout.trim().split("\n");
  return lines.map((line) => JSON.parse(line) as unknown);
}
