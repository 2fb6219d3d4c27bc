/** Public calls about the master: what it offers, and its health; and metrics, on an address of their own. */
import { MAX_BLOCK_ACCEPTED, MAX_CAR_BYTES, MAX_GET_CIDS, MAX_HAVE_CIDS } from "../../base/limits.ts";
import { describeError } from "../../base/log.ts";
import { OPENMETRICS_TYPE } from "../http/metrics.ts";
import type { Answer, Route } from "../http/route.ts";
import type { MasterParts } from "../parts.ts";

export function serviceRoutes(parts: MasterParts): Route[] {
  return [
    { method: "GET", path: "/fula/capabilities", access: "public", paced: true, handle: () => capabilities(parts) },
    { method: "GET", path: "/v1/masters", access: "public", paced: true, handle: () => masters(parts) },
    { method: "GET", path: "/health", access: "public", paced: true, handle: () => health(parts) },
  ];
}

/** Metrics reveal sizes and times of all owners' uploads, so they are not served at the master's own address. */
export function metricsRoutes(parts: MasterParts): Route[] {
  return [{ method: "GET", path: "/metrics", access: "public", handle: () => metrics(parts) }];
}

async function capabilities({ publicBlocks, masters, bearers, compareAndSwap, version }: MasterParts): Promise<Answer> {
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
    formats: [1],
    version,
  };
  return { status: 200, json: offers };
}

async function masters({ masters }: MasterParts): Promise<Answer> {
  return { status: 200, json: { masters } };
}

async function health({ roots, stores, endings, log }: MasterParts): Promise<Answer> {
  const state = async (work: () => Promise<unknown>) => {
    try {
      await work();
      return "ok";
    } catch (error) {
      log.error(`Unhealthy: ${describeError(error)}`);
      return "failed";
    }
  };
  const arbiter = await state(() => roots.get({ owner: "", bucket: "" }));
  const store = await state(() => stores.owners());
  const status = endings.stopping ? "stopping" : arbiter === "ok" && store === "ok" ? "ok" : "failed";
  return { status: status === "ok" ? 200 : 503, json: { status, arbiter, store } };
}

async function metrics({ metrics }: MasterParts): Promise<Answer> {
  const headers = { "content-type": OPENMETRICS_TYPE, "cache-control": "no-store" };
  return { status: 200, headers, body: Buffer.from(metrics.print()) };
}
