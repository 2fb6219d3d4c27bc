/** Creates the site of a plan. */
import { fleetSite, type FleetSiteOptions } from "./master/fleet-site.ts";
import { masterSite } from "./master/master-site.ts";
import { objectSite, type SiteOptions } from "./object-site.ts";
import type { Plan } from "./plan.ts";
import { s3Site } from "./s3/s3-site.ts";
import type { Site } from "./site.ts";

/** `line`: as of a FleetSite. */
export function siteOf(
  { master, s3, isFolder, seed }: Plan,
  options: SiteOptions & Pick<FleetSiteOptions, "line">,
): Promise<Site> {
  if (master?.masters !== undefined) return fleetSite({ ...options, plan: master, seed });
  if (master !== undefined) return masterSite({ ...options, plan: master, seed });
  // What is sabotaged lies below the client.
  if (s3 !== undefined && options.sabotage === undefined) return s3Site(options, s3);
  return objectSite({ ...options, isFolder });
}
