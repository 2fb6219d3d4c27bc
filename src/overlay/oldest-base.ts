/**
 * The oldest base that unpublished changes may rest on: merging them needs it, so a collection must not take it. Follows
 * from the records that change the base, so a restart finds the same.
 */
import type { BaseRoot } from "./journal/journal-record.ts";

/** Undefined: all changes rest on the present base. */
export interface OldestBase {
  readonly base: BaseRoot;
  /** Changes of epochs up to this one may rest on it. */
  readonly epoch: number;
}

/** The parts of the overlay's state that it follows from. */
interface Rested {
  readonly base: BaseRoot;
  /** The number of the live epoch. */
  readonly epoch: number;
  /** Changes that wait. */
  readonly publishable: number;
  oldest: OldestBase | undefined;
}

/** Call this before the base changes while changes may wait. */
export function keepOldest(state: Rested): void {
  if (state.publishable > 0) state.oldest = { base: state.oldest?.base ?? state.base, epoch: state.epoch };
}

/** Some changes were left out of the epoch that is sealed: they go to the live one. */
export function leaveOldest(state: Rested): void {
  if (state.oldest !== undefined) state.oldest = { ...state.oldest, epoch: state.epoch };
}

/** An epoch that was sealed upon `base` is published and settled: later changes may rest on that, too. */
export function passOldest(state: Rested, epoch: number, base: BaseRoot): void {
  const left = state.oldest !== undefined && state.oldest.epoch > epoch ? state.oldest.base : base;
  state.oldest = state.publishable > 0 ? { base: left, epoch: state.epoch } : undefined;
}
