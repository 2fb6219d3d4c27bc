/** Makes the plan of a failing history as short as possible: removes whatever it fails without. */
import { NAMES, USUAL_PADDING } from "./actions.ts";
import type { Plan } from "./plan.ts";
import { CALM } from "./disks/faulty-line.ts";

/** `isWrong` plays a plan. Stops after `mostPlays`, and returns the shortest plan found so far. */
export async function shrink(plan: Plan, isWrong: (plan: Plan) => Promise<boolean>, mostPlays = 300): Promise<Plan> {
  let shortest = plan;
  let plays = 0;
  const without = async (part: "troubles" | "actions"): Promise<boolean> => {
    let isShorter = false;
    for (let size = Math.ceil(shortest[part].length / 2); size >= 1; size = Math.floor(size / 2)) {
      for (let from = 0; from < shortest[part].length;) {
        if (plays++ >= mostPlays) return false;
        const left = { ...shortest, [part]: shortest[part].toSpliced(from, size) };
        if (await isWrong(left)) {
          shortest = left;
          isShorter = true;
        } else from += size;
      }
    }
    return isShorter;
  };
  const simpler = async (part: Partial<Plan>): Promise<void> => {
    const left = { ...shortest, ...part };
    if (plays++ < mostPlays && (await isWrong(left))) shortest = left;
  };
  await simpler({ chances: CALM });
  await simpler({ diskFlip: 0 });
  await simpler({ skewsMs: plan.skewsMs.map(() => 0) });
  await simpler({ beginsEmpty: false });
  await simpler({ names: NAMES });
  await simpler({ isFine: false });
  await simpler({ padding: USUAL_PADDING });
  await simpler({ errands: [] });
  await simpler({ folders: [] });
  await simpler({ inlineBytes: undefined });
  await simpler({
    hasDoors: false,
    actions: shortest.actions.map((action) => ({ ...action, door: "mount" as const })),
  });
  await simpler({ isFolder: false });
  await simpler({ s3: undefined });
  await simpler({ master: undefined });
  await simpler({ endsCollected: false });
  while ((await without("troubles")) || (await without("actions")));
  return shortest;
}
