/** What a command loads before it does anything: each module takes a part of a millisecond, and each package of many takes tens. */
import { readFileSync } from "node:fs";
import { dirname, relative, resolve } from "node:path";
import { expect, test } from "vitest";

const src = resolve(import.meta.dirname, "../../../src");
/** Of one of these all is loaded. */
const LARGE = new Set(["hash-wasm", "diff", "smol-toml", "ignore", "undici", "saxes", "jose"]);

test.each(["init", "sync", "ls", "put", "mount"])(
  "%s loads no module at startup that only masters or rule files need",
  (command) => {
    const { files, packages } = loadedBy(resolve(src, `cli/commands/${command}.ts`));
    expect(files).toContain("bucket/packed/packed-remote.ts");
    expect(files.filter((file) => /^bucket\/http\/|^net\/(master-connection|exchange)\.ts$/.test(file))).toEqual([]);
    expect(packages.filter((name) => LARGE.has(name))).toEqual([]);
  },
);

test.each(["init", "ls", "get", "put", "rm"])("%s loads SQLite only when it opens a database", (command) => {
  expect(loadedBy(resolve(src, `cli/commands/${command}.ts`)).packages).not.toContain("better-sqlite3");
});

/** What a file imports, and what that imports, but for types and what is loaded when it is needed. */
function loadedBy(entry: string): { readonly files: readonly string[]; readonly packages: readonly string[] } {
  const [files, packages] = [new Set([entry]), new Set<string>()];
  for (const file of files) {
    for (const [, name = ""] of readFileSync(file, "utf8").matchAll(/^(?:import|\}) (?!type )[^;"]*from "([^"]+)"/gm)) {
      if (name.startsWith(".")) files.add(resolve(dirname(file), name));
      else packages.add(name);
    }
  }
  return { files: [...files].map((file) => relative(src, file)), packages: [...packages] };
}
