/** Plays worked merges on models, as a second opinion on src/simulate, which plays them with an agent's code. */
import type { Cid, Lamport } from "../../src/base/ids.ts";
import type { Head, MergeContext } from "../../src/fstree/merge/context.ts";
import { filledOperation, sortedListing } from "../../src/simulate/scenarios/scenario.ts";
import type { Listing, Operation, Scenario } from "../../src/simulate/scenarios/scenario.ts";
import { writerId } from "./merge-context.ts";
import { ModelFilesystem } from "./model-filesystem.ts";
import { ModelSealer, readModel } from "./model-seal.ts";

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

/** path → content, "dir", or "-> target". */
export async function listPaths(context: MergeContext, tree: Cid): Promise<Listing> {
  const model = await readModel(context, tree);
  return sortedListing(
    [...model.paths()].map(([path, { type, content }]) => {
      return [path, type === "directory" ? "dir" : type === "symlink" ? `-> ${content}` : content];
    }),
  );
}

async function play(sealer: ModelSealer, operations: readonly Operation[]): Promise<{ tree: Cid; epoch: number }> {
  let epoch = 1;
  for (const operation of operations) {
    if (operation.op === "commit") {
      await sealer.seal();
      epoch++;
    } else sealer.model.apply(filledOperation(operation));
  }
  return { tree: await sealer.seal(), epoch };
}
