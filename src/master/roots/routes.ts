/** All routes of this folder, over one BucketRoots. */
import type { Clock } from "../../base/clock.ts";
import type { Random } from "../../base/random.ts";
import type { Route } from "../http/route.ts";
import { bucketListRoute } from "./bucket-list.ts";
import type { BucketRoots } from "./bucket-roots.ts";
import { rootRoutes } from "./root-routes.ts";
import { TurnLines } from "./turn-lines.ts";
import { turnRoutes } from "./turn-routes.ts";
import { watchRoutes } from "./watch-route.ts";

export function bucketRoutes(roots: BucketRoots, clock: Clock, random: Random): Route[] {
  const turns = new TurnLines(clock, random);
  return [
    bucketListRoute(roots),
    ...rootRoutes(roots, turns),
    ...watchRoutes(roots, clock),
    ...turnRoutes(roots, turns),
  ];
}
