/** Agents as commands find them: a state folder that is listed, and a control socket in it. Both go with the test. */
import { mkdirSync } from "node:fs";
import { expect, onTestFinished } from "vitest";
import { type ControlAnswers, serveControl } from "../../src/agent/control.ts";
import { openMountState, type StateFacts } from "../../src/agent/state/state-dir.ts";
import { systemClock } from "../../src/base/clock.ts";
import { silentLog } from "../../src/base/log.ts";

/** A mount whose agent gives these answers. Any other call fails the test. */
export async function servedState(states: string, facts: StateFacts, answers?: Partial<ControlAnswers>): Promise<void> {
  mkdirSync(facts.mount, { recursive: true });
  await serveAnswers(listedState(states, facts), answers);
}

/** A state that no agent serves; returns its folder. */
export function listedState(states: string, facts: StateFacts): string {
  const state = openMountState(states, facts);
  onTestFinished(() => state[Symbol.dispose]());
  state.list(silentLog);
  return state.path;
}

export async function serveAnswers(stateDir: string, answers: Partial<ControlAnswers> = {}): Promise<void> {
  const never = () => expect.unreachable();
  const all = { status: never, flush: never, pause: never, resume: never, unmount: never, ...answers };
  const control = await serveControl(stateDir, all, systemClock);
  onTestFinished(() => control[Symbol.asyncDispose]());
}
