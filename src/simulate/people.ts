/** The programs and people at a history's machines: one program at each door of each agent, and commands beside them. */
import { hasCode } from "../base/errors.ts";
import { homeOf, SHARED_HOME } from "./beginning.ts";
import { type Action, perform, performOverDav, placeAction } from "./actions.ts";
import { runErrand } from "./errands.ts";
import type { Machine } from "./machine.ts";
import type { MergeJudge } from "./judges/merge-judge.ts";
import { DOORS, type PlannedAction, type PlannedErrand } from "./plan.ts";
import type { Sabotage } from "./sabotage.ts";
import { isIoError, isRefused, type Stage } from "./troubles.ts";

export interface PeopleOptions extends Pick<Stage, "plan" | "timeline" | "machines" | "tokens" | "trace"> {
  readonly judge: MergeJudge;
  readonly sabotage: Sabotage | undefined;
  /** Collects the faults found while playing. */
  readonly faults: string[];
}

export class People {
  readonly #world: PeopleOptions;

  constructor(world: PeopleOptions) {
    this.#world = world;
  }

  async play(): Promise<void> {
    const { machines, plan } = this.#world;
    const users = machines.flatMap((machine, index) => DOORS.map((door) => this.#use(machine, index, door)));
    await Promise.all([...users, ...plan.errands.map((errand) => this.#run(errand))]);
  }

  async #use(machine: Machine, index: number, door: PlannedAction["door"]): Promise<void> {
    for (const planned of this.#world.plan.actions) {
      if (planned.machine !== index || planned.door !== door) continue;
      const waitMs = planned.atMs - this.#world.timeline.monotonicMs();
      if (waitMs > 0) await this.#world.timeline.sleep(waitMs);
      await this.#do(machine, planned);
    }
  }

  /** If the agent dies during the call, the call's outcome is unknown. */
  async #do(machine: Machine, { action, door }: PlannedAction): Promise<void> {
    const { plan, tokens } = this.#world;
    const { process, otherDoors } = machine;
    const mount = door === "second mount" ? otherDoors?.mount : machine.mount;
    if (mount === undefined || process === undefined) return;
    const root = action.own ? homeOf(machine.name) : SHARED_HOME;
    const work = async () => {
      const { names, padding } = plan;
      const placed = await placeAction(mount, root, action, tokens.next(machine.name), names, padding);
      const errno =
        door === "webdav" && otherDoors !== undefined
          ? await performOverDav(otherDoors.webdav, placed, this.#world.tokens)
          : await perform(mount, placed, this.#world.tokens);
      const { kind, path, target, token } = placed;
      const asked = [kind, path, ...(TWO_PATHS.has(kind) ? [target] : []), token].join(" ");
      const over = door === "mount" ? "" : ` (${door})`;
      this.#world.trace.add(machine.name, `${asked}${over}: ${errno === 0 ? "done" : `error ${errno}`}`);
    };
    await Promise.race([work().catch((error: unknown) => this.#noteFailure(machine, action, error)), process.death]);
  }

  /** A failed command may still have taken effect. */
  async #run({ kind, pick, atMs, machine: index }: PlannedErrand): Promise<void> {
    await this.#world.timeline.sleep(Math.max(0, atMs - this.#world.timeline.monotonicMs()));
    const machine = this.#world.machines[index];
    const process = machine?.process;
    if (machine === undefined || process === undefined) return;
    const token = this.#world.tokens.next(machine.name);
    const work = async () => {
      const context = await machine.commandContext();
      if (context === undefined) return;
      const replaces = (tokens: readonly string[]) => {
        for (const old of tokens) this.#world.tokens.remove(old, machine.name);
      };
      const merge = this.#world.judge.judging(context.merge);
      const options = { kind, pick, context: { ...context, merge }, token, replaces, sabotage: this.#world.sabotage };
      const { isDone, hasMade, faults } = await runErrand(options);
      this.#world.trace.add(machine.name, `${kind} ${token}: ${isDone ? "done" : "not done"}`);
      this.#world.faults.push(...faults);
      if (!isDone || !hasMade) return;
      this.#world.tokens.made.add(token);
      this.#world.tokens.durable.add(token);
    };
    const failed = (error: unknown) => {
      if (!isIoError(error) && !isRefused(error) && !hasCode(error, "no_such_root")) throw error;
      this.#world.trace.add(machine.name, `${kind}: ${error.code}`);
    };
    await Promise.race([work().catch(failed), process.death]);
  }

  #noteFailure({ name }: Machine, { kind }: Action, error: unknown): void {
    if (!isIoError(error)) throw error;
    this.#world.trace.add(name, `${kind}: ${error.code}`);
  }
}

const TWO_PATHS: ReadonlySet<string> = new Set(["rename", "exchange", "link"]);
