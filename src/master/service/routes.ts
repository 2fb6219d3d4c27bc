/** Public calls about the master: what it offers, and its health; and metrics, on an address of their own. */
import { MAX_BLOCK_ACCEPTED, MAX_CAR_BYTES, MAX_GET_CIDS, MAX_HAVE_CIDS } from "../../base/limits.ts";
import { SynclineError } from "../../base/errors.ts";
import { describeError } from "../../base/log.ts";
import { OPENMETRICS_TYPE } from "../http/metrics.ts";
import type { Answer, Route } from "../http/route.ts";
import type { MasterParts } from "../parts.ts";
import { PacedCheck } from "./paced-check.ts";

export function serviceRoutes(parts: MasterParts): Route[] {
  const { roots, stores, clock } = parts;
  const checks: HealthChecks = {
    arbiter: new PacedCheck(clock, () => roots.get({ owner: "", bucket: "" })),
    store: new PacedCheck(clock, () => stores.check()),
  };
  const told: ToldHealth = { arbiter: "", store: "" };
  return [
    { method: "GET", path: "/fula/capabilities", access: "public", paced: true, handle: () => capabilities(parts) },
    { method: "GET", path: "/v1/masters", access: "public", paced: true, handle: () => masters(parts) },
    { method: "GET", path: "/health", access: "public", paced: true, handle: () => health(parts, checks, told) },
  ];
}

/** Metrics reveal sizes and times of all owners' uploads, so they are not served at the master's own address. */
export function metricsRoutes(parts: MasterParts): Route[] {
  return [{ method: "GET", path: "/metrics", access: "public", handle: () => metrics(parts) }];
}

async function capabilities({
  stores,
  publicBlocks,
  masters,
  bearers,
  compareAndSwap,
  version,
}: MasterParts): Promise<Answer> {
  const offers = {
    remoteCidPut: false,
    eip712Auth: true,
    sessionAuth: bearers.takesSessions,
    rootCas: compareAndSwap,
    watch: true,
    turns: true,
    masters: masters.length > 0,
    ingest: true,
    publicBlocks,
    maxBlock: MAX_BLOCK_ACCEPTED,
    maxCar: MAX_CAR_BYTES,
    maxHave: MAX_HAVE_CIDS,
    maxGet: MAX_GET_CIDS,
    lease: stores.leaseSeconds,
    formats: [1],
    version,
  };
  return { status: 200, json: offers };
}

async function masters({ masters }: MasterParts): Promise<Answer> {
  return { status: 200, json: { masters } };
}

/** Below the time that agents wait for it. */
const HEALTH_MS = 2_500;

type HealthChecks = Readonly<Record<"arbiter" | "store", PacedCheck>>;

/** The failures that the log tells of, so that each is told once, however often health is asked for. */
type ToldHealth = Record<keyof HealthChecks, string>;

async function health(
  { endings, log, clock, alarm }: MasterParts,
  checks: HealthChecks,
  told: ToldHealth,
): Promise<Answer> {
  const state = async (part: keyof HealthChecks) => {
    const over = new AbortController();
    try {
      const late = clock.sleep(HEALTH_MS, over.signal).then(() => {
        throw new SynclineError("time_out", `No answer within ${HEALTH_MS} ms.`);
      });
      await Promise.race([checks[part].result(), late]);
      told[part] = "";
      return "ok";
    } catch (error) {
      const why = describeError(error);
      if (told[part] !== why) log.error(`Unhealthy: ${why}`);
      told[part] = why;
      return "failed";
    } finally {
      over.abort();
    }
  };
  const [arbiter, store] = await Promise.all([state("arbiter"), state("store")]);
  const away = arbiter === "failed" ? ARBITER_AWAY : store === "failed" ? STORE_AWAY : {};
  const stopped = alarm.owners.size > 0 ? { collections: "stopped" } : {};
  const status = endings.stopping ? "stopping" : "code" in away ? "failed" : "ok";
  return { status: status === "ok" ? 200 : 503, json: { status, arbiter, store, ...stopped, ...away } };
}

const ARBITER_AWAY = { code: "arbiter_unreachable", message: "The arbiter does not answer." };
const STORE_AWAY = { code: "store_unreachable", message: "The store of blocks does not answer." };

async function metrics({ metrics }: MasterParts): Promise<Answer> {
  const headers = { "content-type": OPENMETRICS_TYPE, "cache-control": "no-store" };
  return { status: 200, headers, body: Buffer.from(metrics.print()) };
}
