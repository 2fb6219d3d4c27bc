/** All calls on buckets that this folder answers, over one set of roots. */
import type { Clock } from "../../base/clock.ts";
import type { Route } from "../http/route.ts";
import { bucketListRoute } from "./bucket-list.ts";
import type { BucketRoots } from "./bucket-roots.ts";
import { rootRoutes } from "./root-routes.ts";
import { watchRoutes } from "./watch-route.ts";

export function bucketRoutes(roots: BucketRoots, clock: Clock): Route[] {
  return [bucketListRoute(roots), ...rootRoutes(roots), ...watchRoutes(roots, clock)];
}
