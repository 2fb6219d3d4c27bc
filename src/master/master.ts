/** A master: the HTTP surface (docs/reference/protocol.md) over storage that is handed in. */
import type { Wallet } from "../base/ids.ts";
import {
  ANSWER_BATCH_BYTES,
  ANSWERS_BYTES,
  BODIES_BYTES,
  CAR_BATCH_BYTES,
  GARBAGE_BYTES,
  OWNER_ANSWERS_BYTES,
  OWNER_BODIES_BYTES,
  OWNER_PARSES_BYTES,
  OWNER_TEXTS_BYTES,
  OWNER_WALK_STEPS,
  PARSES_BYTES,
  TEXTS_BYTES,
  WALK_STEPS,
} from "./limits.ts";
import type { Ports } from "../base/ports.ts";
import { closeAll } from "../base/resources.ts";
import { Quota } from "./account/quota.ts";
import { accountRoutes } from "./account/routes.ts";
import { blockRoutes } from "./blocks/routes.ts";
import { PublicSearch } from "./blocks/public-search.ts";
import { Slabs } from "./blocks/slabs.ts";
import { Collector } from "./gc/collector.ts";
import { collectionRoutes } from "./gc/routes.ts";
import { Bearers } from "./http/bearers.ts";
import { OpenStreams } from "./http/open-streams.ts";
import type { Service } from "./http/exchange.ts";
import { type Collect, Garbage } from "../runtime/garbage.ts";
import { Metrics } from "./http/metrics.ts";
import { RateLimits } from "./http/rate-limits.ts";
import type { Route } from "./http/route.ts";
import { Router } from "./http/router.ts";
import { type ListenOptions, listenForService } from "./http/server.ts";
import type { ListenAddress } from "../http/listen.ts";
import type { SessionKey } from "./http/session-key.ts";
import { FairBudget } from "../http/fair-budget.ts";
import { QuotaGate } from "./ingest/quota-gate.ts";
import { ingestRoutes } from "./ingest/routes.ts";
import type { MasterParts } from "./parts.ts";
import { metricsRoutes, serviceRoutes } from "./service/routes.ts";
import { BucketRoots } from "./roots/bucket-roots.ts";
import { RootAlarm } from "./roots/root-alarm.ts";
import { bucketRoutes } from "./roots/routes.ts";
import type { MasterStorage } from "./storage.ts";

export interface MasterOptions extends MasterRules {
  readonly listen: ListenOptions;
  /** Where metrics are served; absent: nowhere. */
  readonly metricsListen?: ListenAddress | undefined;
}

/** All options except how it is reached. */
export interface MasterRules extends Ports {
  /** Owned by the master, which closes it when it stops or fails to start. */
  readonly storage: MasterStorage;
  /** Wallets that are served. */
  readonly allow: readonly Wallet[];
  readonly sessionKey?: SessionKey | undefined;
  readonly publicBlocks?: boolean;
  /** The origins of all masters of the same buckets, this one among them. */
  readonly masters?: readonly string[];
  /** Bytes that each owner may store; undefined for no limit. */
  readonly quotaBytes?: number | undefined;
  /** The quota API, asked before `/v0/block` stores anything. */
  readonly quotaApi?: { readonly url: string; readonly open: boolean } | undefined;
  readonly version: string;
  /** Collects this thread's garbage. Absent: left to V8. */
  readonly collect?: Collect;
  /** False only in a drill that shows what the comparison prevents. */
  readonly compareAndSwap?: boolean;
}

export interface Master {
  /** Such as "http://127.0.0.1:3600". */
  readonly origin: string;
  /** Of the metrics, where they are served. */
  readonly metricsOrigin: string | undefined;
  /** Every route that it serves. */
  readonly routes: readonly Route[];
  /** Owners whose garbage is not collected, since the table of roots went back. */
  readonly rolledBack: ReadonlySet<Wallet>;
  /** Finishes ongoing calls, ends watches, closes everything; stops waiting once `hurry` aborts. */
  stop(hurry?: AbortSignal): Promise<void>;
}

/** Throws `config_invalid`, `cannot_listen`, its storage's errors; nothing is left open then. */
export async function startMaster(options: MasterOptions): Promise<Master> {
  const { parts, routes, ...opened } = await openMaster(options);
  try {
    const texts = new FairBudget(TEXTS_BYTES, OWNER_TEXTS_BYTES);
    const parses = new FairBudget(PARSES_BYTES, OWNER_PARSES_BYTES);
    const strangers = new RateLimits(options.clock);
    const service = { ...parts, texts, parses, strangers, router: new Router(routes) };
    const server = await listenForService(service, options.listen);
    parts.metrics.gauge("syncline_connections", "Open connections.", () => server.connections);
    const forMetrics = await serveMetrics(service, parts, options.metricsListen).catch(async (error: unknown) => {
      await server.stop();
      throw error;
    });
    return {
      routes,
      rolledBack: parts.alarm.owners,
      origin: server.origin,
      metricsOrigin: forMetrics?.origin,
      async stop(hurry) {
        parts.endings.stop();
        await Promise.all([server.stop(hurry), forMetrics?.stop(hurry)]);
        await opened[Symbol.asyncDispose]();
      },
    };
  } catch (error) {
    await opened[Symbol.asyncDispose]();
    throw error;
  }
}

async function serveMetrics(service: Service, parts: MasterParts, at: ListenAddress | undefined) {
  if (at === undefined) return undefined;
  const listen = { ...at, tls: undefined };
  return listenForService({ ...service, router: new Router(metricsRoutes(parts)) }, listen);
}

/** A master before it listens. */
export interface OpenedMaster extends AsyncDisposable {
  readonly parts: MasterParts;
  readonly routes: readonly Route[];
}

/** Throws as startMaster; then nothing is left open. */
export async function openMaster(options: MasterRules): Promise<OpenedMaster> {
  const open: (Disposable | AsyncDisposable)[] = [options.storage];
  try {
    const parts = openParts(options, open);
    return { parts, routes: routesOf(parts), [Symbol.asyncDispose]: () => closeAll(open) };
  } catch (error) {
    await closeAll(open);
    throw error;
  }
}

/** Adds whatever it opens to `open`. */
function openParts(options: MasterRules, open: (Disposable | AsyncDisposable)[]): MasterParts {
  const { clock, random, log, sessionKey, quotaApi, quotaBytes, publicBlocks = false, masters = [], version } = options;
  const opened = <Part extends Disposable | AsyncDisposable>(part: Part): Part => {
    open.push(part);
    return part;
  };
  const { compareAndSwap = true } = options;
  const { roots, revocations, stores, rolledBack, others } = options.storage;
  const collect: MasterStorage["collect"] = (...call) => options.storage.collect(...call);
  const alarm = new RootAlarm(log, options.storage.arbiter);
  for (const [owner, buckets] of rolledBack) alarm.raise(owner, buckets);
  const bucketRoots = new BucketRoots({ roots, stores, clock, log, alarm, compareAndSwap });
  const { gate } = bucketRoots;
  const endings = new OpenStreams(clock);
  revocations.onRevoked = (digest) => endings.revoked(digest);
  if (others !== undefined) {
    others.onWentBack = (owners) => owners.forEach((owner) => alarm.raise(owner, ["all"]));
    opened(bucketRoots.follow(others));
  }
  // A master without others needs to be told apart only from itself before a restart.
  const counter = others?.id ?? clock.nowNs().toString();
  const parts = {
    stores,
    roots,
    alarm,
    bucketRoots,
    collector: opened(new Collector({ roots, stores, gate, clock, log, alarm, collect, counter })),
    revocations,
    bearers: new Bearers({ allow: new Set(options.allow), sessionKey, revocations, clock }),
    endings,
    quota: new Quota(stores, quotaBytes),
    quotaGate: quotaApi && new QuotaGate({ api: quotaApi.url, open: quotaApi.open, clock, log }),
    bodies: new FairBudget(BODIES_BYTES, OWNER_BODIES_BYTES),
    answers: new FairBudget(ANSWERS_BYTES, OWNER_ANSWERS_BYTES),
    walks: new FairBudget(WALK_STEPS, OWNER_WALK_STEPS),
    search: new PublicSearch({ stores, endings, clock }),
    slabs: new Slabs(CAR_BATCH_BYTES, BODIES_BYTES),
    answerSlabs: new Slabs(ANSWER_BATCH_BYTES, ANSWERS_BYTES),
    garbage: new Garbage(GARBAGE_BYTES, options.collect ?? (() => {})),
    metrics: new Metrics(),
    masters,
    publicBlocks,
    compareAndSwap,
    version,
    clock,
    random,
    log,
  };
  showLevels(parts);
  return parts;
}

function routesOf(parts: MasterParts): Route[] {
  return [
    ...serviceRoutes(parts),
    ...accountRoutes(parts),
    ...blockRoutes(parts),
    ...ingestRoutes(parts),
    ...bucketRoutes(parts.bucketRoots, parts.clock, parts.random),
    ...collectionRoutes(parts.collector),
  ];
}

function showLevels({ metrics, bodies, answers, bucketRoots, alarm }: MasterParts): void {
  metrics.gauge("syncline_bodies_bytes", "Memory reserved for incoming bodies.", () => bodies.used);
  metrics.gauge("syncline_answers_bytes", "Memory reserved for outgoing blocks.", () => answers.used);
  metrics.gauge("syncline_bodies_waiting", "Calls waiting for memory for their bodies.", () => bodies.waiting);
  metrics.gauge("syncline_answers_waiting", "Calls waiting for memory for their answers.", () => answers.waiting);
  metrics.gauge("syncline_watches", "Open watches of buckets.", () => bucketRoots.hub.watches);
  const rolledBack = "Owners whose garbage is not collected because the table of roots was rolled back.";
  metrics.gauge("syncline_rolled_back_owners", rolledBack, () => alarm.owners.size);
  metrics.gauge("process_resident_memory_bytes", "Resident memory.", () => process.memoryUsage.rss());
}
