/** A bucket in S3 that machines share without a master: the real client over a simulated network. */
import { PackedRemote } from "../../bucket/packed/packed-remote.ts";
import { ROOT_OBJECT } from "../../format/blocks/object-name.ts";
import { encodeRootHint, numberedRootName, ROOTS_FOLDER } from "../../format/blocks/root-hint.ts";
import { decodeRoot } from "../../format/blocks/root-object.ts";
import { sessionBearer } from "../../net/bearer.ts";
import type { ObjectStore } from "../../objects/object-store.ts";
import type { MemoryObjectStore } from "../../objects/memory-object-store.ts";
import type { RootForm } from "../../objects/s3/probe.ts";
import { S3BucketStore } from "../../objects/s3/s3-bucket-store.ts";
import { S3ObjectStore } from "../../objects/s3/s3-object-store.ts";
import { collectIn } from "../collecting.ts";
import { HeededLeases } from "../leases.ts";
import { simulatedDispatcher } from "../master/simulated-network.ts";
import type { SiteOptions } from "../object-site.ts";
import { seededRandom } from "../seeded-random.ts";
import { withMethods } from "../shared-folder.ts";
import type { Reach, Site, Way } from "../site.ts";
import { S3_BUCKET, SimulatedS3 } from "./simulated-s3.ts";

/** Histories are shorter than days: agents look more often than real ones. */
const POLLING = { firstMs: 250, lastMs: 1_000 };

/** Creates a site that holds the history's start. */
export async function s3Site(options: SiteOptions, form: RootForm): Promise<Site> {
  const { start, timeline, moved } = options;
  const objects = await start.store(() => Number(timeline.nowNs() / 1_000_000n));
  if (form === "numbered") await numberRoots(objects);
  const server = new SimulatedS3(objects, timeline, async (key) => {
    const isRoot = form === "numbered" ? key.startsWith(ROOTS_FOLDER) : key === ROOT_OBJECT;
    if (isRoot) await moved();
  });
  // Without the network: the judges look at each root before anything else happens.
  const seen = form === "numbered" ? withNewestRoot(objects) : objects;
  const leases = new HeededLeases(objects, options.onFault);
  const checked = new PackedRemote(seen, { clock: timeline, random: seededRandom(1) });
  return {
    checked,
    served: new PackedRemote(seen, { clock: timeline, random: seededRandom(1) }),
    server: undefined,
    reach: (way) => reachOf(server, leases, options, way),
    audit: async () => [],
    [Symbol.dispose]: () => {},
  };
}

function reachOf(server: SimulatedS3, leases: HeededLeases, options: SiteOptions, way: Way): Reach {
  const { beginning, sabotage, inlineBytes } = options;
  const { process, random } = way;
  const store = storeOf(server, options, way);
  return {
    open: ({ writer }) =>
      new PackedRemote(store, {
        clock: process.clock,
        random,
        writer,
        ...(inlineBytes !== undefined && { inlineBytes }),
      }),
    collect: (asked) => collectIn({ store: leases.by(store), beginning, sabotage, ...asked }),
  };
}

function storeOf(server: SimulatedS3, { timeline }: SiteOptions, { process, ...way }: Way): S3BucketStore {
  const dispatcher = simulatedDispatcher({
    ...way,
    master: server,
    clock: timeline,
    process,
    onArrived: async () => {},
    onServed: async () => {},
  });
  const store = new S3ObjectStore({
    address: "s3://bucket",
    prefix: "",
    bucket: S3_BUCKET,
    endpoint: "http://s3.invalid",
    region: "us-east-1",
    style: "path",
    // Signatures take longer than most of a history.
    bearer: sessionBearer("token"),
    dispatcher,
    clock: process.clock,
    random: way.random,
  });
  const checks = { chooseForm: async () => "replaced" as const, checkForm: async () => {} };
  return new S3BucketStore({ store, clock: process.clock, polling: POLLING, ...checks });
}

/** The objects, with the numbered root of the highest number as `root`. */
function withNewestRoot(objects: MemoryObjectStore): ObjectStore {
  return withMethods(objects, {
    get: async (name) => {
      let newest = name;
      if (name === ROOT_OBJECT)
        for await (const root of objects.list(ROOTS_FOLDER))
          newest = root.name > newest || newest === name ? root.name : newest;
      return objects.get(newest);
    },
  });
}

/** Turns the root of a new store into a numbered one. */
async function numberRoots(objects: MemoryObjectStore): Promise<void> {
  const root = await objects.get(ROOT_OBJECT);
  if (root === undefined) return;
  const { version } = decodeRoot(root.bytes);
  await objects.putNew(numberedRootName(version), [root.bytes]);
  await objects.putIfMatch(ROOT_OBJECT, [encodeRootHint(version)], root.token);
}
