/** Generated histories: operations chosen against what is there, nasty ones more often, on few names so that they meet. */
import fc from "fast-check";
import type { ModelFilesystem, Operation } from "./model-filesystem.ts";

/** An operation before it is known what is there: numbers that pick from the paths of the moment. */
export interface Intent {
  readonly kind: Kind;
  readonly a: number;
  readonly b: number;
  readonly name: string;
  readonly content: string;
}

type Kind = (typeof KINDS)[number];

/** Each as often as it stands here. */
const KINDS = [
  ...["create", "create", "create", "edit", "edit", "edit", "mkdir", "mkdir"],
  ...["rename", "rename", "rename", "rename", "renameInto", "renameInto", "renameInto", "renameOver", "renameOver"],
  ...["exchange", "link", "link", "unlink", "unlink", "rmdir", "rmtree", "rmtree", "again", "save", "edges"],
  ...["append", "chmod", "symlink", "commit", "commit"],
] as const;

const NAMES = ["a", "b", "c", "k", "n.bin", "t.txt", "l.log", ".rc", "a.b.c"];

/** What many write alike, so that equal bytes meet. */
const SHARED = ["S", "S", "T"];

export const intents = (max: number) =>
  fc.array(
    fc.record({
      kind: fc.constantFrom(...KINDS) as fc.Arbitrary<Kind>,
      a: fc.nat(997),
      b: fc.nat(997),
      name: fc.constantFrom(...NAMES),
      content: fc.constantFrom(...SHARED, "", ""),
    }),
    { maxLength: max },
  );

export class HistoryPlayer {
  readonly #label: string;
  #made = 0;

  /** No two labels ever write the same bytes, SHARED aside. */
  constructor(label: string) {
    this.#label = label;
  }

  /** The operations that an intent means here. */
  operations(model: ModelFilesystem, { kind, a, b, name, content }: Intent): Operation[] {
    const all = [...model.paths()];
    const pick = (paths: readonly string[], index: number) => paths[index % Math.max(paths.length, 1)];
    const files = all.filter(([, { type }]) => type === "file").map(([path]) => path);
    const directories = ["", ...all.filter(([, { type }]) => type === "directory").map(([path]) => path)];
    const paths = all.map(([path]) => path);
    const inside = (directory: string | undefined, leaf: string) => (directory ? `${directory}/${leaf}` : leaf);
    const [path = "none", other = "none"] = [pick(paths, a), pick(paths, b)];
    const file = pick(files, a) ?? "none";
    const fresh = inside(pick(directories, b), name);
    switch (kind) {
      case "create":
        return [{ op: "write", path: fresh, content: this.#content(fresh, content) }];
      case "edit":
        return [{ op: "write", path: file, content: this.#edited(model.at(file)?.content ?? "", file, b, content) }];
      case "append":
        return [{ op: "append", path: file, content: `${this.#unique()}\n` }];
      case "mkdir":
        return [{ op: "mkdir", path: fresh }];
      case "rename":
        return [{ op: "rename", path, to: fresh }];
      case "renameInto":
        return [{ op: "rename", path: pick(directories, a) || "none", to: fresh }];
      case "renameOver":
        return [{ op: "rename", path, to: other }];
      case "exchange":
        return [{ op: "exchange", path, to: other }];
      case "link":
        return [{ op: "link", path: file, to: fresh }];
      case "unlink":
        return [{ op: "unlink", path }];
      case "rmdir":
        return [{ op: "rmdir", path }];
      case "rmtree":
        return [{ op: "rmtree", path: pick(directories, a) || "none" }];
      case "again":
        return [
          { op: "unlink", path: file },
          { op: "write", path: file, content: this.#content(file, content) },
        ];
      case "save":
        return [
          { op: "write", path: inside("", `.save${this.#label}`), content: this.#content(file, content) },
          { op: "rename", path: `.save${this.#label}`, to: file },
        ];
      case "edges":
        return [
          { op: "rename", path, to: fresh },
          { op: "commit" },
          { op: "rename", path: fresh, to: path },
        ];
      case "symlink":
        return [{ op: "symlink", path: fresh, target: this.#unique() }];
      case "chmod":
        return [{ op: "chmod", path, mode: 0o600 + (b % 64) }];
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

  /** Of lines, one changes; everything else is written anew. */
  #edited(old: string, path: string, index: number, shared: string): string {
    if (!isLines(path) || shared !== "") return this.#content(path, shared);
    const lines = old.split("\n");
    lines[index % lines.length] = this.#unique();
    return lines.join("\n");
  }
}

export function isLines(path: string): boolean {
  return path.endsWith(".txt") || path.endsWith(".log");
}
