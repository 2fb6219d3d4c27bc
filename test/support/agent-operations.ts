/** Random operations, for properties. */
import * as fc from "fast-check";
import { KINDS } from "../../src/simulate/actions.ts";
import type { Choice, Action } from "../../src/simulate/actions.ts";

const choice: fc.Arbitrary<Choice> = fc.record({
  down: fc.array(fc.nat(3), { maxLength: 3 }),
  name: fc.nat(9),
  existing: fc.boolean(),
});

export const anyAction: fc.Arbitrary<Action> = fc.record({
  kind: fc.constantFrom(...KINDS),
  at: choice,
  to: choice,
  own: fc.integer({ min: 0, max: 3 }).map((pick) => pick === 3),
});
