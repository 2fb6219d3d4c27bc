/** Histories about units: repositories and databases, and changes that cross their borders. */
import * as fc from "fast-check";
import { PLAIN } from "./merge-history.ts";
import type { Setting } from "./merge-history.ts";
import type { Operation } from "../../src/simulate/scenarios/scenario.ts";

const write = (path: string, content: string): Operation => ({ op: "write", path, content });
const rename = (path: string, to: string): Operation => ({ op: "rename", path, to });
const link = (path: string, to: string): Operation => ({ op: "link", path, to });
const mkdir = (path: string): Operation => ({ op: "mkdir", path });
const COMMIT: Operation = { op: "commit" };

const ACTIONS: readonly (readonly Operation[])[] = [
  [write("a/.git/o/new", "X"), write("a/.git/h", "X")],
  [write("a/.git/h", "Y"), { op: "unlink", path: "a/.git/o/1" }],
  [{ op: "rmtree", path: "a/.git" }],
  [{ op: "rmtree", path: "a/.git" }, mkdir("a/.git"), write("a/.git/h", "Y")],
  [{ op: "rmtree", path: "a/.git" }, write("a/.git", "Y")],
  [rename("a/.git", "a/git")],
  [rename("a/.git", "b/.git")],
  [rename("a/.git/o", "b/o")],
  [rename("a/.git/o", "b/o"), write("b/o/1", "Y"), write("b/o/more", "Y")],
  [rename("a/.git/h", "b/h")],
  [rename("b/n.bin", "a/.git/n.bin")],
  [rename("b/c", "a/.git/c")],
  [rename("a/.git/m/.git", "b/.git")],
  [rename("b/c", "a/.git/m/.git/c"), write("a/.git/m/.git/h", "Y")],
  [write("a/.git/m/.git/h", "X")],
  [{ op: "link", path: "a/.git/h", to: "b/h" }],
  [{ op: "link", path: "a/n.bin", to: "a/.git/l" }],
  [{ op: "exchange", path: "a/.git", to: "b/c" }],
  [mkdir("k"), mkdir("k/.git"), write("k/.git/h", "X")],
  [mkdir("m"), write("m/h", "Y"), COMMIT, mkdir("k"), rename("m", "k/.git")],
  [write("b/d.db-wal", "X")],
  [write("b/d.db", "Y"), { op: "unlink", path: "b/d.db-wal" }],
  [write("b/d.db", "X"), write("b/d.db-wal", "Y"), write("b/d.db-shm", "X")],
  [rename("b/d.db", "b/e.db"), rename("b/d.db-wal", "b/e.db-wal")],
  [rename("b/d.db", "a/d.db")],
  [
    { op: "unlink", path: "b/d.db" },
    { op: "unlink", path: "b/d.db-wal" },
  ],
  [rename("b/c/old.db", "b/d.db")],
  [write("b/c/old.db", "Y"), write("b/c/old.db-wal", "Y")],
  [write("a/.git/i.db-wal", "Y")],
  [rename("b/d.db", "a/.git/d.db")],
];

/** Hard links out of units, also of files that others change or remove there. */
const LINKS: readonly (readonly Operation[])[] = [
  [link("a/.git/o/1", "b/l1"), write("a/.git/h", "X")],
  [link("a/.git/o/1", "home/l2"), link("a/.git/h", "home/h")],
  [write("a/.git/h", "Y"), link("a/.git/h", "b/l3")],
  [mkdir("b/.git"), link("a/.git/o/1", "b/.git/1"), link("a/.git/o/2", "b/.git/2"), write("a/.git/o/new", "Y")],
  [link("b/d.db", "home/d.db"), link("b/d.db-wal", "home/d.db-wal")],
  [write("b/d.db", "Y"), link("b/d.db", "b/l4")],
  [mkdir("home/.git"), link("a/.git/h", "home/.git/h"), link("a/.git/o/1", "home/.git/1")],
  [link("a/.git/o/2", "b/l5"), { op: "unlink", path: "a/.git/o/2" }, write("a/.git/h", "X")],
  [link("b/n.bin", "a/.git/l6"), link("b/n.bin", "b/l6")],
];

const SKELETON: readonly Operation[] = [
  ...PLAIN.skeleton,
  COMMIT,
  mkdir("a/.git"),
  mkdir("a/.git/o"),
  mkdir("a/.git/m"),
  mkdir("a/.git/m/.git"),
  write("a/.git/h", "old h"),
  write("a/.git/o/1", "old 1"),
  write("a/.git/o/2", "S"),
  write("a/.git/m/.git/h", "old m"),
  write("a/.git/i.db", "old i"),
  write("b/d.db", "old d"),
  write("b/d.db-wal", "old wal"),
  write("b/c/old.db", "older"),
];

const WRITTEN = [
  "a/.git/h",
  "a/.git/h",
  "a/.git/o/1",
  "a/.git/m/.git/h",
  "a/.git/i.db",
  "b/d.db",
  "b/d.db",
  "b/d.db-wal",
  "b/c/old.db",
  "k/.git/h",
  "a/n.bin",
];

export const UNITS: Setting = {
  [fc.toStringMethod]: () => "units",
  skeleton: SKELETON,
  actions: [...ACTIONS, ...ACTIONS, ...PLAIN.actions, ...LINKS, ...LINKS],
  written: WRITTEN,
  names: ["a", "b", ".git", ".git", "h", "d.db", "d.db-wal", "t.txt", "n.bin"],
};

export const UNIT_ACTIONS = [...ACTIONS, ...LINKS];
