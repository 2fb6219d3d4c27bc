/** Identities of files do not depend on when an epoch is sealed: a file that is saved by a rename stays the file that it replaces. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import type { Cid, FileId } from "../../../../src/base/ids.ts";
import { nameFromText } from "../../../../src/base/names.ts";
import { rootDirectoryTree } from "../../../../src/bucket/bucket.ts";
import { resolvePath } from "../../../../src/fstree/fs-reader.ts";
import { ScenarioWriter } from "../../../../src/simulate/scenarios/scenario-writer.ts";
import type { Operation } from "../../../../src/simulate/scenarios/scenario.ts";
import type { MergeContext } from "../../../../src/fstree/merge/context.ts";
import { runs } from "../../../support/law-suite.ts";
import { createMergeContext } from "../../../support/merge-context.ts";
import { listPaths } from "../../../support/merge-scenario.ts";

test("any sequence of saves, moves, swaps, links and removals gives the same file ids, wherever the epochs end", async () => {
  await fc.assert(
    fc.asyncProperty(arbitrarySteps, fc.nat(), async (steps, pick) => {
      const model = new Model();
      const operations = steps.map((step) => model.operations(step));
      const flushed = operations.toSpliced(pick % (operations.length + 1), 0, [COMMIT]);
      const expected = Object.fromEntries(model.identities());
      expect(await identitiesAfter(operations.flat())).toEqual(expected);
      expect(await identitiesAfter(flushed.flat())).toEqual(expected);
      expect(await identitiesAfter(operations.flatMap((some) => some.concat(COMMIT)))).toEqual(expected);
    }),
    { numRuns: runs(150) },
  );
});

/** What is done to the file at one of the places there are, or at a place that nothing ever had. */
interface Step {
  readonly kind: "save" | "move" | "replace" | "swap" | "link" | "remove" | "create";
  readonly at: number;
  readonly to: number;
}

const arbitrarySteps = fc.array(
  fc.record<Step>({
    kind: fc.constantFrom("save", "save", "move", "move", "replace", "swap", "link", "remove", "create"),
    at: fc.nat(9),
    to: fc.nat(9),
  }),
  { minLength: 1, maxLength: 9 },
);

const COMMIT: Operation = { op: "commit" };
const BASE: readonly Operation[] = [
  { op: "mkdir", path: "d" },
  ...["f", "g", "d/h", "l"].map((path): Operation => ({ op: "write", path, content: path })),
  { op: "link", path: "l", to: "d/l" },
];

/** Which file the base has at each path. */
const ORIGINS: ReadonlyMap<string, string> = new Map([
  ...["f", "g", "d/h", "l"].map((path) => [path, path] as const),
  ["d/l", "l"],
]);

interface File {
  /** Where the base has it; undefined: new. */
  readonly origin: string | undefined;
}

/** Which file of the base is where, by the rules of docs/design/merge.md. */
class Model {
  readonly #at = new Map<string, File>();
  /** Where one file took the place of another. */
  readonly #moved = new Set<string>();
  /** Files of which one name was saved over. */
  readonly #parted = new Set<File>();
  #made = 0;

  constructor() {
    const files = new Map([...ORIGINS.values()].map((origin) => [origin, { origin }]));
    for (const [path, origin] of ORIGINS) this.#at.set(path, files.get(origin) ?? { origin });
  }

  identities(): [string, string][] {
    return [...this.#at].flatMap(([path, { origin }]): [string, string][] => (origin ? [[path, origin]] : []));
  }

  operations({ kind, at, to }: Step): Operation[] {
    const places = [...this.#at.keys()].sort();
    const path = places[at % places.length];
    const other = places[to % places.length];
    const fresh = `${to % 2 === 0 ? "d/" : ""}n${++this.#made}`;
    const file = this.#at.get(path ?? "");
    const target = this.#at.get(other ?? "");
    if (kind === "create" || path === undefined || other === undefined || file === undefined || target === undefined) {
      this.#at.set(fresh, { origin: undefined });
      return [{ op: "write", path: fresh, content: fresh }];
    }
    switch (kind) {
      case "save": {
        // A new file that replaces one of several names may take the id of what else an epoch left there: another rule.
        if (this.#links(file) > 1 && this.#moved.has(path)) return [];
        if (this.#links(file) > 1) this.#parted.add(file);
        const temporary = `${to % 2 === 0 ? "d/" : ""}.tmp`;
        this.#at.set(path, this.#links(file) === 1 ? { origin: file.origin } : { origin: undefined });
        return [
          { op: "write", path: temporary, content: fresh },
          { op: "rename", path: temporary, to: path },
        ];
      }
      case "move":
        this.#at.delete(path);
        this.#at.set(fresh, file);
        return [{ op: "rename", path, to: fresh }];
      case "replace":
        // A file that is new on its own account is no longer new once an epoch has ended: what it replaces depends on that.
        if (file === target || file.origin === undefined || this.#isLastOfParted(target)) return [];
        this.#at.delete(path);
        this.#at.set(other, file);
        this.#moved.add(other);
        return [{ op: "rename", path, to: other }];
      case "swap":
        if (file.origin === undefined || target.origin === undefined) return [];
        this.#at.set(path, target).set(other, file);
        this.#moved.add(path).add(other);
        return [{ op: "exchange", path, to: other }];
      case "link":
        this.#at.set(fresh, file);
        return [{ op: "link", path, to: fresh }];
      case "remove":
        if (this.#isLastOfParted(file)) return [];
        this.#at.delete(path);
        return [{ op: "unlink", path }];
    }
  }

  /** Once it is gone, the new file at the name that it lost may take its id: another rule. */
  #isLastOfParted(file: File): boolean {
    return this.#parted.has(file) && this.#links(file) === 1;
  }

  #links(file: File): number {
    return [...this.#at.values()].filter((other) => other === file).length;
  }
}

async function identitiesAfter(operations: readonly Operation[]): Promise<Record<string, string>> {
  const context = createMergeContext();
  const base = (
    await new ScenarioWriter(
      context,
      await rootDirectoryTree(context.nodes, context.sink, context.treeConfig, ROOT),
      0n,
    ).play(BASE)
  ).tree;
  const names = new Map<FileId, string>();
  for (const path of ["f", "g", "d/h", "l"]) names.set(await idAt(context, base, path), path);
  const { tree } = await new ScenarioWriter(context, base, 1_000n).play(operations);
  const found: Record<string, string> = {};
  for (const path of Object.keys(await listPaths(context, tree))) {
    const name = names.get(await idAt(context, tree, path));
    if (name !== undefined) found[path] = name;
  }
  return found;
}

async function idAt({ nodes }: MergeContext, tree: Cid, path: string): Promise<FileId> {
  const found = await resolvePath(nodes, tree, path.split("/").map(nameFromText));
  if (found === undefined) throw new Error(`nothing is at ${path}`);
  return found.id;
}

const ROOT = { mode: 0o755, uid: 0, gid: 0, timeNs: 0n };
