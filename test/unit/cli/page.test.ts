/** docs/reference/command-line.md says what the program does: its tables and commands are the program's own, and every example parses. */
import { readFileSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { kebab } from "../../../src/cli/options.ts";
import { BUCKET_OPTIONS, MASTER_OPTIONS } from "../../../src/cli/master-access.ts";
import {
  commandTree,
  optionsOf,
  pageParts,
  tailOf,
  takesBucket,
  type NamedCommand,
} from "../../support/command-tree.ts";

const path = resolve(import.meta.dirname, "../../../docs/reference/command-line.md");
let leaves: NamedCommand[];

beforeAll(async () => {
  ({ leaves } = await commandTree());
});

test("the page shows the program's own options, exit statuses and commands", async () => {
  const page = readFileSync(path, "utf8");
  let current = page;
  for (const [name, text] of await pageParts()) {
    const part = new RegExp(`(<!-- ${name} -->\n)[^]*?(\n<!-- end of ${name} -->)`);
    expect(page, `docs/reference/command-line.md has the marks of ${name}`).toMatch(part);
    current = current.replace(part, (_, begin: string, end: string) => `${begin}${text}${end}`);
  }
  if (process.env["SYNCLINE_UPDATE_DOCS"] !== undefined) writeFileSync(path, current);
  const hint = "Bring it up to date: SYNCLINE_UPDATE_DOCS=1 npx vitest run cli/page";
  expect(readFileSync(path, "utf8"), hint).toBe(current);
});

test("commands with a bucket, and no others, have a bucket's options; mount and webdav have no --timeout", () => {
  const expectedOf = (named: NamedCommand): readonly string[] => {
    if (named.name === "serve") return ["insecure"];
    if (!takesBucket(named)) return [];
    return (/^(mount|webdav)$/.test(named.name) ? MASTER_OPTIONS : BUCKET_OPTIONS).map(kebab);
  };
  const actual = leaves.map((named) => optionsOf(named).filter((long) => BUCKET_OPTIONS.map(kebab).includes(long)));
  expect(actual.map((options, at) => [leaves[at]?.name, options])).toEqual(
    leaves.map((named) => [named.name, expectedOf(named)]),
  );
});

test("every group of commands has a summary", async () => {
  const { root } = await commandTree();
  for (const each of root.commands) expect(each.description(), each.name()).not.toBe("");
});

test("every command has a summary, examples that use it, and exit statuses", () => {
  for (const named of leaves) {
    const { examples, exits } = tailOf(named);
    expect(named.command.description(), named.name).toMatch(/^\S.{10,}[^.]$/);
    expect(examples.length, named.name).toBeGreaterThan(0);
    expect(
      examples.every((example) => example.includes(`syncline ${named.name}`)),
      named.name,
    ).toBe(true);
    expect(exits.slice(0, 3), named.name).toEqual([0, 1, 2]);
  }
});

describe("every example parses", () => {
  test("in help and on the page", async () => {
    const page = readFileSync(path, "utf8");
    const onPage = [...page.matchAll(/```sh[^\n]*\n([^]*?)```/g)].flatMap((match) => (match[1] ?? "").split("\n"));
    const examples = [...onPage, ...leaves.flatMap((named) => tailOf(named).examples)];
    const commands = examples.flatMap(commandsIn);
    expect(commands.length).toBeGreaterThan(40);
    for (const words of commands) {
      const { root, leaves: fresh } = await commandTree();
      let ran = "";
      for (const { name, command } of fresh) command.exitOverride().action(() => void (ran = name));
      await root.parseAsync(words, { from: "user" });
      expect(words.join(" "), "an example runs the command that it names").toMatch(new RegExp(`^${ran}\\b`));
    }
  });
});

/** The syncline commands in a line of shell, as words. Quotes stand around whole words only. */
function commandsIn(line: string): string[][] {
  const parts = line.replace(/(^|\s)#.*$/, "").split(/\|(?!\w)|&&|;|\$\(|\)/);
  const commands = parts.map((part) => part.trim().replace(/^(\w+=\S* )+/, ""));
  return commands.filter((command) => command.startsWith("syncline ")).map((command) => wordsOf(command).slice(1));
}

function wordsOf(command: string): string[] {
  const beforeRedirection = command.split(/ [<>]/)[0] ?? "";
  const words = beforeRedirection.match(/"[^"]*"|'[^']*'|\S+/g) ?? [];
  return words.map((word) => word.replace(/^["'](.*)["']$/, "$1"));
}
