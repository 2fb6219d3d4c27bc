/**
 * The oldest base that unpublished changes may rest on. Merging them needs it, so collections must keep it. It is derived
 * from journal records, so a restart finds the same one.
 */
import type { BaseRoot } from "./journal/journal-record.ts";

/** Undefined: all changes rest on the present base. */
export interface OldestBase {
  readonly base: BaseRoot;
  /** Changes of epochs up to this one may rest on it. */
  readonly epoch: number;
}

/** The parts of the overlay's state that decide it. */
interface Rested {
  readonly base: BaseRoot;
  /** The number of the live epoch. */
  readonly epoch: number;
  /** Changes that wait. */
  readonly publishable: number;
  oldest: OldestBase | undefined;
}

/** Another root is about to become the base, beneath the changes that wait. */
export function keepOldest(state: Rested): void {
  const base = state.oldest?.base ?? state.base;
  state.oldest = state.publishable > 0 ? { base, epoch: state.epoch } : undefined;
}

/** Some changes were left out of the epoch that is sealed: they go to the live one. */
export function leaveOldest(state: Rested): void {
  if (state.oldest !== undefined) state.oldest = { ...state.oldest, epoch: state.epoch };
}

/** An epoch is published. Changes since its seal may rest on the base that it was sealed on. */
export function passOldest(state: Rested, epoch: number, base: BaseRoot): void {
  const left = state.oldest !== undefined && state.oldest.epoch > epoch ? state.oldest.base : base;
  state.oldest = state.publishable > 0 ? { base: left, epoch: state.epoch } : undefined;
}
