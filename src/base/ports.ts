/** What parts of the program get from their process, and the simulator replaces. */
import type { Clock } from "./clock.ts";
import type { Log } from "./log.ts";
import type { Random } from "./random.ts";

export interface Ports {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}
