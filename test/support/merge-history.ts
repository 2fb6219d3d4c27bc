/** Generated histories: operations chosen by what exists, nasty ones more often, with few names so that they meet. */
import * as fc from "fast-check";
import type { Operation } from "../../src/simulate/scenarios/scenario.ts";
import { ACCESS_ACL } from "../../src/format/files/acl.ts";
import { asciiAcl } from "./acl-text.ts";
import type { ModelFilesystem, ModelInode } from "./model-filesystem.ts";

/** An operation before its paths are known: numbers that pick from the paths of that moment. */
export interface Intent {
  readonly kind: Kind;
  readonly a: number;
  readonly b: number;
  /** Picks from the theme's actions. */
  readonly action: number;
  readonly name: string;
  readonly content: string;
}

type Kind = keyof typeof WEIGHTS;

/** The relative frequency of each kind. */
const WEIGHTS = {
  action: 30,
  meet: 20,
  create: 3,
  edit: 3,
  append: 1,
  mkdir: 2,
  newFolder: 2,
  newFile: 1,
  rename: 2,
  moveDirectory: 4,
  renameOver: 1,
  exchange: 1,
  swap: 1,
  link: 2,
  unlink: 2,
  unlinkFile: 1,
  rmdir: 1,
  rmtree: 2,
  again: 1,
  save: 1,
  home: 2,
  goHome: 2,
  chmod: 1,
  chown: 1,
  privilege: 2,
  list: 2,
  symlink: 2,
  commit: 1,
};
const KINDS = (Object.keys(WEIGHTS) as Kind[]).flatMap((kind) => Array.from({ length: WEIGHTS[kind] }, () => kind));

/** What histories are about. */
export interface Setting {
  /** The operations that make their start. */
  readonly skeleton: readonly Operation[];
  /** Actions of sides on the skeleton that make them meet. */
  readonly actions: readonly (readonly Operation[])[];
  /** What sides write into files that both may have. */
  readonly written: readonly string[];
  /** Few, so that writers meet. */
  readonly names: readonly string[];
  /** How failure reports print it. */
  readonly [fc.toStringMethod]?: () => string;
}

const NAMES = ["a", "a", "b", "b", "c", "n.bin", "n.bin", "t.txt", "l.log"];

/** Access lists: the first ones have a mask, the last ones say what a mode says. */
const LISTS = [
  "u::rw- u:5:r-- g::--- m::r-- o::---",
  "u::rwx u:5:rwx g::r-x g:6:--- m::rwx o::--x",
  "u::rwx u:7:-w- g::rw- m::-w- o::r--",
  "u::rw- g::--- o::---",
  "u::rwx g::r-x o::r-x",
] as const;

const setList = (path: string, list: string): Operation => {
  return { op: "setxattr", path, name: ACCESS_ACL, value: asciiAcl(list) };
};
const setCapability = (path: string, value: string): Operation => {
  return { op: "setxattr", path, name: "security.capability", value };
};

/** The start of histories: directories to move, hard links, equal bytes, and files away from their birthplaces. */
const SKELETON: readonly Operation[] = skeleton();

function skeleton(): Operation[] {
  const lines = "1\n2\n3\n4\n5\n6\n7\n";
  const files = ["a/n.bin", "b/n.bin", "a/c/n.bin", "n.bin"].map((path) => [path, `old ${path}`] as const);
  const equal = ["home/1", "home/2", "b/c/n.bin"].map((path) => [path, "S"] as const);
  const texts = ["a/t.txt", "b/c/t.txt"].map((path) => [path, lines] as const);
  const logs = ["l.log", "a/c/l.log"].map((path) => [path, "0\n"] as const);
  const written = [files, equal, texts, logs].flat();
  return [
    ["a", "b", "a/c", "b/c", "a/c/a", "home"].map((path): Operation => ({ op: "mkdir", path })),
    written.map(([path, content]): Operation => ({ op: "write", path, content })),
    { op: "link", path: "a/n.bin", to: "b/l" } as const,
    { op: "symlink", path: "b/s", target: "old" } as const,
    { op: "chmod", path: "b/c/t.txt", mode: 0o6755 } as const,
    setList("n.bin", LISTS[0]),
    setList("a/c", LISTS[1]),
    { op: "commit" } as const,
    { op: "rename", path: "home/1", to: "a/1" } as const,
    { op: "rename", path: "home/2", to: "b/c/2" } as const,
  ].flat();
}

/** Contents that many writers use, so that equal bytes meet; "" stands for unique content. */
const CONTENTS = ["S", "T", "", "", "", ""];

/** Actions of sides on the skeleton that make them meet: nearly every pair is a row of the table. */
const ACTIONS: readonly (readonly Operation[])[] = [
  [{ op: "rmtree", path: "a" }],
  [{ op: "rmtree", path: "b" }],
  [{ op: "rmtree", path: "a/c" }],
  [{ op: "rename", path: "a", to: "b/a" }],
  [{ op: "rename", path: "a", to: "b/c/a" }],
  [{ op: "rename", path: "b", to: "a/b" }],
  [{ op: "rename", path: "b", to: "a/c/a/b" }],
  [{ op: "rename", path: "b/c", to: "a/c/a/c" }],
  [{ op: "rename", path: "a/c", to: "b/c/c" }],
  [{ op: "rename", path: "a/c", to: "k" }],
  [{ op: "rename", path: "b/c", to: "k" }],
  [{ op: "rename", path: "a", to: "k" }],
  [{ op: "mkdir", path: "k" }],
  [
    { op: "mkdir", path: "k" },
    { op: "mkdir", path: "k/a" },
    { op: "write", path: "k/n.bin", content: "S" },
  ],
  [{ op: "mkdir", path: "m" }, { op: "commit" }, { op: "rename", path: "m", to: "k" }],
  [
    { op: "mkdir", path: "m" },
    { op: "commit" },
    { op: "rename", path: "a/n.bin", to: "m/n.bin" },
    { op: "rename", path: "m", to: "b/k" },
  ],
  [{ op: "mkdir", path: "m" }, { op: "mkdir", path: "m/m" }, { op: "commit" }, { op: "rename", path: "m", to: "a/k" }],
  [{ op: "write", path: "k", content: "S" }],
  [{ op: "write", path: "w", content: "T" }, { op: "commit" }, { op: "rename", path: "w", to: "k" }],
  [{ op: "rename", path: "a/1", to: "home/1" }],
  [
    { op: "rename", path: "a/1", to: "home/1" },
    { op: "rmtree", path: "a" },
  ],
  [{ op: "rename", path: "b/c/2", to: "home/2" }],
  [{ op: "rename", path: "b/c/2", to: "k" }],
  [{ op: "rename", path: "b/c/n.bin", to: "k" }],
  [{ op: "rename", path: "a/1", to: "k" }],
  [{ op: "unlink", path: "a/n.bin" }],
  [{ op: "unlink", path: "b/l" }],
  [
    { op: "unlink", path: "b/l" },
    { op: "unlink", path: "a/n.bin" },
  ],
  [{ op: "link", path: "a/n.bin", to: "a/c/a/l" }],
  [{ op: "link", path: "n.bin", to: "a/c/a/n.bin" }],
  [{ op: "exchange", path: "a", to: "b" }],
  [{ op: "exchange", path: "a/c", to: "b/n.bin" }],
  [{ op: "exchange", path: "a/n.bin", to: "n.bin" }],
  [{ op: "rename", path: "n.bin", to: "b/n.bin" }],
  [{ op: "rename", path: "b/n.bin", to: "n.bin" }],
  [
    { op: "unlink", path: "n.bin" },
    { op: "mkdir", path: "n.bin" },
    { op: "write", path: "n.bin/a", content: "T" },
  ],
  [{ op: "rename", path: "n.bin", to: "a/c/a/n.bin" }],
  [{ op: "rmtree", path: "a/c/a" }],
  [
    { op: "rename", path: "a/c/a", to: "a/c/d" },
    { op: "rmtree", path: "b" },
  ],
  [
    { op: "rename", path: "a/c", to: "c" },
    { op: "rmtree", path: "a" },
  ],
  [
    { op: "unlink", path: "b/s" },
    { op: "symlink", path: "b/s", target: "S" },
  ],
  [
    { op: "chmod", path: "a/n.bin", mode: 0o600 },
    { op: "chmod", path: "a", mode: 0o700 },
  ],
  [
    { op: "chmod", path: "a/n.bin", mode: 0o4755 },
    { op: "chmod", path: "a/t.txt", mode: 0o2755 },
    { op: "chmod", path: "n.bin", mode: 0o740 },
    { op: "chmod", path: "a/c", mode: 0o2770 },
  ],
  [setCapability("a/n.bin", "A"), setCapability("n.bin", "A"), setCapability("a/t.txt", "A")],
  [
    { op: "chown", path: "a/n.bin", uid: 5, gid: 0 },
    { op: "chown", path: "n.bin", uid: 5, gid: 6 },
    { op: "chown", path: "b/c/t.txt", uid: 5, gid: 0 },
  ],
  [setList("a/n.bin", LISTS[0]), setList("a/t.txt", LISTS[2])],
  [setList("n.bin", LISTS[3]), setList("a/c", LISTS[4])],
  [
    { op: "rmtree", path: "a" },
    { op: "mkdir", path: "a" },
    { op: "write", path: "a/n.bin", content: "T" },
  ],
  [
    { op: "rename", path: "a", to: "old" },
    { op: "mkdir", path: "a" },
    { op: "mkdir", path: "a/c" },
  ],
];

/** What sides write into files that both may have. */
const WRITTEN = [
  "a/n.bin",
  "n.bin",
  "b/l",
  "a/t.txt",
  "b/c/t.txt",
  "l.log",
  "a/c/l.log",
  "a/1",
  "b/c/2",
  "k",
  "a/c/n.bin",
];

export const PLAIN: Setting = { skeleton: SKELETON, actions: ACTIONS, written: WRITTEN, names: NAMES };

export const intents = (minLength: number, maxLength: number, setting: Setting = PLAIN) =>
  fc.noBias(
    fc.array(
      fc.record({
        kind: fc.constantFrom(...KINDS),
        a: fc.nat(19),
        b: fc.nat(19),
        action: fc.nat(setting.actions.length - 1),
        name: fc.constantFrom(...setting.names),
        content: fc.constantFrom(...CONTENTS),
      }),
      { minLength, maxLength, size: "max" },
    ),
  );

/** What the sides of one history do most often, so that they meet: indexes into ACTIONS and WRITTEN. */
export interface Theme {
  readonly actions: readonly number[];
  readonly files: readonly number[];
  readonly setting?: Setting;
}

export const themesOf = (setting: Setting): fc.Arbitrary<Theme> =>
  fc.record({
    actions: fc.array(fc.nat(setting.actions.length - 1), { minLength: 3, maxLength: 7 }),
    files: fc.array(fc.nat(setting.written.length - 1), { minLength: 1, maxLength: 3 }),
    setting: fc.constant(setting),
  });

export const themes = themesOf(PLAIN);

export class HistoryPlayer {
  readonly #label: string;
  readonly #theme: Theme;
  #made = 0;

  /** Two labels never write the same bytes, except those of CONTENTS. */
  constructor(label: string, theme: Theme) {
    this.#label = label;
    this.#theme = theme;
  }

  /** The operations that an intent stands for here. */
  operations(model: ModelFilesystem, { kind, a, b, action, name, content }: Intent): Operation[] {
    const { setting = PLAIN } = this.#theme;
    const all = [...model.paths()];
    const pick = (found: readonly (readonly [string, ModelInode])[], index: number) =>
      found[index % Math.max(found.length, 1)]?.[0] ?? "none";
    const files = all.filter(([, { type }]) => type === "file");
    const directories = all.filter(([, { type }]) => type === "directory");
    const parent = pick([["", model.root], ...directories], b);
    const fresh = parent === "" ? name : `${parent}/${name}`;
    const [path, file, directory] = [pick(all, a), pick(files, a), pick(directories, a)];
    const other = pick(all, b);
    switch (kind) {
      case "action":
        return [...(setting.actions[chosen(this.#theme.actions, action)] ?? [])];
      case "meet": {
        const written = setting.written[chosen(this.#theme.files, a)] ?? "k";
        const edited = this.#edited(model.at(written)?.content ?? "", written, b, content);
        return [{ op: "write", path: written, content: edited }];
      }
      case "create":
        return [{ op: "write", path: fresh, content: this.#content(fresh, content) }];
      case "edit":
        return [{ op: "write", path: file, content: this.#edited(model.at(file)?.content ?? "", file, b, content) }];
      case "append":
        return [{ op: "append", path: file, content: `${this.#unique()}\n` }];
      case "mkdir":
        return [{ op: "mkdir", path: fresh }];
      case "newFolder":
        return [
          { op: "mkdir", path: "new" },
          { op: "write", path: "new/a", content: this.#content("a", content) },
          { op: "mkdir", path: "new/b" },
          { op: "commit" },
          { op: "rename", path: "new", to: fresh },
        ];
      case "newFile":
        return [
          { op: "write", path: "new", content: this.#content("new", content) },
          { op: "commit" },
          { op: "rename", path: "new", to: fresh },
        ];
      case "rename":
        return [{ op: "rename", path, to: fresh }];
      case "moveDirectory":
        return [{ op: "rename", path: directory, to: fresh }];
      case "renameOver":
        return [{ op: "rename", path, to: other }];
      case "exchange":
        return [{ op: "exchange", path, to: other }];
      case "swap":
        return [
          { op: "rename", path, to: ".swap" },
          { op: "rename", path: other, to: path },
          { op: "rename", path: ".swap", to: other },
        ];
      case "link":
        return [{ op: "link", path: file, to: fresh }];
      case "unlink":
        return [{ op: "unlink", path }];
      case "unlinkFile":
        return [{ op: "unlink", path: file }];
      case "rmdir":
        return [{ op: "rmdir", path: directory }];
      case "rmtree":
        return [{ op: "rmtree", path: directory }];
      case "again":
        return [
          { op: "unlink", path: file },
          { op: "write", path: file, content: this.#content(file, content) },
        ];
      case "save":
        return [
          { op: "write", path: ".save", content: this.#content(file, content) },
          { op: "rename", path: ".save", to: file },
        ];
      case "home":
        return [{ op: "rename", path, to: fresh }, { op: "commit" }, { op: "rename", path: fresh, to: path }];
      case "goHome":
        return [{ op: "rename", path, to: `home/${path.slice(-1)}` }];
      case "symlink":
        return [{ op: "symlink", path: fresh, target: this.#unique() }];
      case "chmod":
        return [{ op: "chmod", path, mode: 0o600 + ((b * 7) % 64) }];
      case "chown":
        return [{ op: "chown", path, uid: b % 2, gid: a % 3 }];
      case "privilege":
        if (b % 3 === 0) return [setCapability(file, `${a % 2}`)];
        return [{ op: "chmod", path: file, mode: b % 3 === 1 ? 0o4755 : 0o6750 }];
      case "list":
        return [setList(path, LISTS[b % LISTS.length] ?? LISTS[0])];
      case "commit":
        return [{ op: "commit" }];
    }
  }

  #unique(): string {
    return `${this.#label}${this.#made++}`;
  }

  #content(path: string, shared: string): string {
    if (shared !== "") return isLines(path) ? `${shared}\n` : shared;
    return isLines(path) ? `1\n2\n3\n4\n5\n${this.#unique()}\n6\n7\n8\n` : this.#unique();
  }

  /** Changes one line of a file with lines; rewrites any other file. */
  #edited(old: string, path: string, index: number, shared: string): string {
    if (!isLines(path) || shared !== "") return this.#content(path, shared);
    const lines = old.split("\n");
    lines[index % lines.length] = this.#unique();
    return lines.join("\n");
  }
}

function chosen(from: readonly number[], index: number): number {
  return from[index % from.length] ?? index;
}

function isLines(path: string): boolean {
  return path.endsWith(".txt") || path.endsWith(".log");
}
