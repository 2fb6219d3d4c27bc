/**
 * The habits of the house that a machine can see. Each failure prints the rule and the way out.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { describe, expect, test } from "vitest";

/** Folders of src/ from the ground up: a file imports only from folders above its own in this list. */
const LAYERS = [
  "base",
  "runtime",
  "crypto",
  "format",
  "net",
  "http",
  "objects",
  "blocks",
  "packs",
  "tree",
  "content",
  "roots",
  "arbiter",
  "fstree",
  "bucket",
  "library",
  "overlay",
  "vfs",
  "files",
  "fuse",
  "webdav",
  "sync",
  "master",
  "agent",
  "simulate",
  "cli",
];
const DOORS = new Set(["fuse", "webdav", "sync"]);

/** Words that this project once had for what the field has a term for (docs/reference/glossary.md). */
const INSTEAD: Readonly<Record<string, string>> = {
  "\\bknot(s|ted)?\\b": "cycle",
  "\\bcircles?\\b": "cycle",
  homecomers: "moved back",
  "\\breviv(e|es|ed)\\b": "resurrected",
  "\\bdeeds\\b(?!:)": "actions",
  rehears: "dry run",
  restless: "unstable",
  "\\bcrowd(s|ed)?\\b": "slow clients, contended",
  "\\bgave way\\b": "lost the conflict",
};
const MAX_LINES = 350;
const root = resolve(import.meta.dirname, "../..");
const sources = filesUnder(join(root, "src"), ".ts");

describe("tidy", () => {
  test("a file imports only from layers above its own", () => {
    const wrong = sources.flatMap((file) =>
      importsOf(file)
        .filter((target) => !mayImport(layerOf(file), layerOf(target)))
        .map((target) => `${name(file)} imports ${name(target)}`),
    );
    expect(wrong, `Layers: ${LAYERS.join(" < ")}. Move the shared noun down, or pass it in as an argument.`).toEqual(
      [],
    );
  });

  test("no file imports itself through others, types included; dynamic imports are exempt", () => {
    const [behind, open] = [new Set<string>(), new Set<string>()];
    const cycles: string[] = [];
    const visit = (file: string) => {
      if (open.has(file))
        cycles.push(
          [...open, file]
            .slice([...open].indexOf(file))
            .map(name)
            .join(" > "),
        );
      if (behind.has(file)) return;
      behind.add(file);
      open.add(file);
      for (const target of importsOf(file, /from\s*"(\.[^"]+)"/g)) if (target.endsWith(".ts")) visit(target);
      open.delete(file);
    };
    for (const file of sources) visit(file);
    expect(cycles, "Move what both need into a file that imports neither.").toEqual([]);
  });

  test(`no source file is longer than ${MAX_LINES} lines`, () => {
    const long = sources.filter((file) => linesOf(file).length > MAX_LINES).map(name);
    expect(long, "Ask which noun is hiding in it, and give that noun a file.").toEqual([]);
  });

  test("clocks, randomness and timers come in through ports", () => {
    const banned =
      /\b(Date\.now|Math\.random|new Date\(\)|setTimeout|setInterval|setImmediate|AbortSignal\.timeout|performance\.now)\b/;
    expect(
      offenders(banned, (file) => layerOf(file) !== "base"),
      "Take a Clock or Random (src/base) as an argument.",
    ).toEqual([]);
  });

  test("block addresses are computed in one place", () => {
    const isPlace = (file: string) =>
      name(file).startsWith("src/format/") || name(file) === "src/blocks/block-codec.ts";
    expect(
      offenders(/\bcidOf\(/, (file) => !isPlace(file) && layerOf(file) !== "simulate"),
      "Make the block with src/blocks/block-codec.ts.",
    ).toEqual([]);
  });

  test("only the command line prints or reads argv", () => {
    const banned = /\b(console\.\w+|process\.(argv|stdout|stderr|stdin))\b/;
    expect(
      offenders(banned, (file) => layerOf(file) !== "cli"),
      "Return a value, throw a SynclineError, or take a Log.",
    ).toEqual([]);
  });

  test("no default exports, no re-exporting barrels, no any, no silenced compiler", () => {
    const banned =
      /^export default|^export \* from|^export \{.*\} from|: any\b|\bas any\b|<any>|@ts-(ignore|nocheck|expect-error)/;
    expect(offenders(banned), "Name the export where it is made; give the value its type.").toEqual([]);
  });

  test("no marks of unfinished work", () => {
    const marks = /\b(TOD[O]|FIXM[E]|XX[X]|HAC[K])\b/;
    expect(offenders(marks), "Finish it, or write in docs/ what is not there.").toEqual([]);
  });

  test("errors that cross layers carry a code", () => {
    expect(offenders(/throw new Error\(|throw ["'`]/), "Throw a SynclineError with a stable code and a hint.").toEqual(
      [],
    );
  });

  test("every source file starts with a comment on its purpose", () => {
    const silent = sources.filter((file) => !/^(#!.*\n)?\/\*\*/.test(readFileSync(file, "utf8"))).map(name);
    expect(silent, "Start the file with two or three lines: what it is for.").toEqual([]);
  });

  test("no file uses a private word where the field has a term", () => {
    const everywhere = [
      ...sources,
      ...filesUnder(join(root, "test"), ".ts"),
      ...filesUnder(join(root, "scripts"), ".mjs"),
      ...filesUnder(join(root, "scripts"), ".ts"),
      ...filesUnder(join(root, "docs"), ".md"),
    ].filter((file) => file !== import.meta.filename);
    const found = everywhere.flatMap((file) =>
      linesOf(file).flatMap((line, index) =>
        Object.entries(INSTEAD)
          .filter(([word]) => new RegExp(word, "i").test(line))
          .map(([word, term]) => `${name(file)}:${index + 1} ${word}: say ${term}`),
      ),
    );
    expect(found).toEqual([]);
  });

  test("scripts load only modules that exist", () => {
    const scripts = [".mjs", ".ts"].flatMap((ending) => filesUnder(join(root, "scripts"), ending));
    const built = /"([a-z-]+(?:\/[a-z-]+)+)\.js"/g;
    const missing = scripts.flatMap((file) =>
      [...readFileSync(file, "utf8").matchAll(built)]
        .filter(([, path = ""]) => LAYERS.includes(path.split("/")[0] ?? ""))
        .filter(([, path = ""]) => !existsSync(join(root, "src", `${path}.ts`)))
        .map(([module]) => `${name(file)} ${module}`),
    );
    expect(missing).toEqual([]);
  });

  test("no test sleeps to wait", () => {
    const banned = /await (new Promise\(\(?\w*\)? => setTimeout|sleep\(|setTimeout\()/;
    const tests = filesUnder(join(root, "test"), ".test.ts");
    expect(
      offenders(banned, () => true, tests),
      "Wait for an event, or for a condition with a deadline (expect.poll).",
    ).toEqual([]);
  });
});

function mayImport(from: string, to: string): boolean {
  if (DOORS.has(from) && DOORS.has(to)) return from === to;
  return LAYERS.indexOf(to) <= LAYERS.indexOf(from) && LAYERS.includes(to) && LAYERS.includes(from);
}

function importsOf(file: string, form = /(?:from|import\()\s*"(\.[^"]+)"/g): string[] {
  const found = readFileSync(file, "utf8").matchAll(form);
  return [...found].map((match) => resolve(dirname(file), match[1] ?? ""));
}

function layerOf(file: string): string {
  return relative(join(root, "src"), file).split(/[\\/]/)[0] ?? "";
}

function offenders(banned: RegExp, applies: (file: string) => boolean = () => true, files = sources): string[] {
  return files.filter(applies).flatMap((file) =>
    linesOf(file)
      .map((line, index) => ({ line, at: `${name(file)}:${index + 1}` }))
      .filter(({ line }) => banned.test(line) && !/^\s*(\*|\/\/|\/\*)/.test(line))
      .map(({ line, at }) => `${at} ${line.trim()}`),
  );
}

function linesOf(file: string): string[] {
  return readFileSync(file, "utf8").split("\n");
}

function name(file: string): string {
  return relative(root, file);
}

function filesUnder(folder: string, ending: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(ending))
    .map((file) => join(folder, file));
}
