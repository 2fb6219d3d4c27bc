/** `syncline simulate --scenarios`: plays the merges in a file and compares the results with what it expects. */
import { nextTurn } from "../../base/concurrency.ts";
import { type PlayedScenario, playScenario } from "../../simulate/scenarios/play-scenario.ts";
import { type Listing, parseScenarios } from "../../simulate/scenarios/scenario.ts";
import type { ExitStatus } from "../exit-status.ts";
import type { Output } from "../terminal/output.ts";
import { textOf } from "../terminal/text-file.ts";
import { printCount, printText } from "../terminal/text.ts";

/** Answers 1 if a result differs. Throws `config_invalid`, and `usage` for an invalid file. */
export async function simulateScenarios(path: string, output: Output): Promise<ExitStatus> {
  const played: PlayedScenario[] = [];
  for (const scenario of parseScenarios(textOf(path))) {
    played.push(await playScenario(scenario));
    // A scenario runs in one turn of the event loop, and V8 frees buffers only between turns.
    await nextTurn();
  }
  const wrong = played.filter(({ ok }) => !ok);
  const lines = played.flatMap((each) => (each.ok ? [`ok    ${printText(each.name)}`] : differencesOf(each)));
  const summary = `${printCount(played.length, "scenario")}, ${wrong.length} not as expected`;
  const scenarios = played.map(({ name, ok, got, conflicts }) => ({ name, ok, got, conflicts }));
  output.result({ scenarios }, [...lines, summary].join("\n"));
  return wrong.length === 0 ? 0 : 1;
}

function differencesOf({ name, got, conflicts, expected }: PlayedScenario): string[] {
  const lines = [`WRONG ${printText(name)}`];
  const paths = [...new Set([...Object.keys(got), ...Object.keys(expected.paths)])].sort();
  for (const path of paths) {
    const [is, wanted] = [shown(got, path), shown(expected.paths, path)];
    if (is !== wanted) lines.push(`      ${printText(path)}: ${is}, expected ${wanted}`);
  }
  if (conflicts !== expected.conflicts) lines.push(`      ${conflicts} conflicts, expected ${expected.conflicts}`);
  if (lines.length === 1) lines.push("      Merging the heads in the other order gives a different tree.");
  return lines;
}

function shown(listing: Listing, path: string): string {
  const content = listing[path];
  return content === undefined ? "nothing" : printText(JSON.stringify(content));
}
