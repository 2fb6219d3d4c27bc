/** Generated operations on a model filesystem, with few names so that they meet. */
import * as fc from "fast-check";
import type { Operation } from "../../src/simulate/scenarios/scenario.ts";
import type { ModelFilesystem } from "./model-filesystem.ts";

/** Each kind is as likely as it is often listed. */
const KINDS = [
  "write",
  "write",
  "write",
  "edit",
  "edit",
  "append",
  "mkdir",
  "mkdir",
  "symlink",
  "chmod",
  "link",
  "link",
  "unlink",
  "unlink",
  "rmdir",
  "rmtree",
  "rename",
  "rename",
  "rename",
  "renameOver",
  "exchange",
  "again",
  "save",
] as const;
type Kind = (typeof KINDS)[number];

/** An action; its numbers pick from the paths that exist at that moment. */
interface Action {
  readonly kind: Kind;
  readonly a: number;
  readonly b: number;
  readonly name: string;
  readonly content: string;
}

export function actions(max: number): fc.Arbitrary<Action[]> {
  const action = fc.record({
    kind: fc.constantFrom(...KINDS) as fc.Arbitrary<Kind>,
    a: fc.nat(50),
    b: fc.nat(50),
    name: fc.constantFrom("a", "b", "c", "d", "ü"),
    content: fc.string({ maxLength: 4 }),
  });
  return fc.noBias(fc.array(action, { maxLength: max }));
}

/** Performs the actions, as far as a real filesystem would allow. */
export function play(model: ModelFilesystem, todo: readonly Action[]): void {
  for (const action of todo) for (const operation of operationsOf(model, action)) model.apply(operation);
}

function operationsOf(model: ModelFilesystem, { kind, a, b, name, content }: Action): Operation[] {
  const all = [...model.paths()];
  const paths = all.map(([path]) => path);
  const files = all.filter(([, { type }]) => type === "file").map(([path]) => path);
  const directories = ["", ...all.filter(([, { type }]) => type === "directory").map(([path]) => path)];
  const directory = directories[b % directories.length] ?? "";
  const fresh = directory === "" ? name : `${directory}/${name}`;
  const path = paths[a % paths.length] ?? "none";
  const other = paths[b % paths.length] ?? "none";
  const file = files[a % files.length] ?? "none";
  switch (kind) {
    case "write":
      return [{ op: "write", path: fresh, content }];
    case "edit":
      return [{ op: "write", path: file, content }];
    case "append":
      return [{ op: "append", path: file, content }];
    case "mkdir":
      return [{ op: "mkdir", path: fresh }];
    case "symlink":
      return [{ op: "symlink", path: fresh, target: `to ${content}` }];
    case "chmod":
      return [{ op: "chmod", path, mode: 0o600 + (b % 64) }];
    case "link":
      return [{ op: "link", path: file, to: fresh }];
    case "unlink":
    case "rmdir":
      return [{ op: kind, path }];
    case "rmtree":
      return [{ op: "rmtree", path: directories[a % directories.length] || "none" }];
    case "rename":
      return [{ op: "rename", path, to: fresh }];
    case "renameOver":
      return [{ op: "rename", path, to: other }];
    case "exchange":
      return [{ op: "exchange", path, to: other }];
    case "again":
      return [
        { op: "unlink", path: file },
        { op: "write", path: file, content },
      ];
    case "save":
      return [
        { op: "write", path: ".save", content },
        { op: "rename", path: ".save", to: file },
      ];
  }
}
