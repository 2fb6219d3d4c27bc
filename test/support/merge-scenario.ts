/** Plays the worked cases of test/vectors/merge-scenarios.json; their format is at the end of docs/merge.md. */
import type { Lamport } from "../../src/base/ids.ts";
import type { Head } from "../../src/bucket/merge/context.ts";
import type { MergeContext } from "../../src/bucket/merge/context.ts";
import { blake3 } from "../../src/crypto/hash.ts";
import type { Cid } from "../../src/base/ids.ts";
import { writerId } from "./merge-context.ts";
import { ModelFilesystem } from "./model-filesystem.ts";
import type { Operation } from "./model-filesystem.ts";
import { ModelSealer, readModel } from "./model-seal.ts";

export interface Scenario {
  readonly name: string;
  readonly base: readonly Operation[];
  readonly x: readonly Operation[];
  readonly y: readonly Operation[];
  readonly expect: { readonly paths: Readonly<Record<string, string>>; readonly conflicts: number };
}

export interface PlayedScenario {
  readonly base: Cid;
  readonly x: Head;
  readonly y: Head;
}

export async function playScenario(context: MergeContext, scenario: Scenario): Promise<PlayedScenario> {
  const base = await play(new ModelSealer(context, new ModelFilesystem()), scenario.base);
  const head = async (label: "x" | "y", time: number): Promise<Head> => {
    const { tree, epoch } = await play(await ModelSealer.open(context, base.tree, time), scenario[label]);
    return { tree, lamport: 7 as Lamport, writer: writerId(label), epoch };
  };
  return { base: base.tree, x: await head("x", 1000), y: await head("y", 2000) };
}

/** path → content, "dir", or "-> target"; names with a directory's id in them as `<k (conflict dir)>`. */
export async function listPaths(context: MergeContext, tree: Cid): Promise<Record<string, string>> {
  const listing: Record<string, string> = {};
  const model = await readModel(context, tree);
  for (const [path, { type, content }] of model.paths())
    listing[path] = type === "directory" ? "dir" : type === "symlink" ? `-> ${content}` : content;
  return sorted(listing);
}

/** The expected paths with their placeholders filled in; what only a directory's id tells is taken from `actual`. */
export function expectedPaths(scenario: Scenario, actual: Readonly<Record<string, string>>): Record<string, string> {
  return sorted(
    Object.fromEntries(
      Object.entries(scenario.expect.paths).map(([path, content]) => {
        const filled = fillPlaceholders(path);
        const pattern = new RegExp(`^${escapeRegExp(filled).replaceAll(ANY_DIGITS, "[0-9a-f]{8}")}$`);
        const found = filled.includes(ANY_DIGITS) ? Object.keys(actual).find((name) => pattern.test(name)) : filled;
        return [found ?? filled, content];
      }),
    ),
  );
}

async function play(sealer: ModelSealer, operations: readonly Operation[]): Promise<{ tree: Cid; epoch: number }> {
  let epoch = 1;
  for (const operation of operations) {
    if (operation.op === "commit") {
      await sealer.seal();
      epoch++;
    } else sealer.model.apply(filled(operation));
  }
  return { tree: await sealer.seal(), epoch };
}

function filled<Op extends Operation>(operation: Op): Op {
  const entries = Object.entries(operation).map(([field, value]) =>
    field === "path" || field === "to" ? [field, fillPlaceholders(String(value))] : [field, value],
  );
  return Object.fromEntries(entries) as Op;
}

/** Innermost first, until there are none. */
function fillPlaceholders(text: string): string {
  const placeholder = /<conflict(\d*|count):([^<>]*?):([^<>:]*):([^<>]*)>/;
  const next = text.replace(placeholder, (_, digits: string, stem: string, extension: string, content: string) => {
    const hash = Buffer.from(blake3(Buffer.from(content))).toString("hex");
    const shown = digits === "count" ? `${hash} 2` : hash.slice(0, Number(digits || 8));
    return `${stem} (conflict ${content === "dir" ? ANY_DIGITS : shown})${extension}`;
  });
  return next === text ? text : fillPlaceholders(next);
}

const ANY_DIGITS = "????????";

function escapeRegExp(text: string): string {
  return text
    .split(ANY_DIGITS)
    .map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`))
    .join(ANY_DIGITS);
}

function sorted(record: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1)));
}
