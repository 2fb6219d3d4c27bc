/** Whether the certificates that a server uses are valid now, and for how long. */
import { X509Certificate } from "node:crypto";
import { orElse } from "../../base/unless.ts";
import { printCount } from "../terminal/text.ts";

const DAY_MS = 24 * 60 * 60 * 1000;
const SOON_MS = 14 * DAY_MS;

/** What to tell of the first certificate or its chain, as PEM. Undefined: nothing, or they cannot be read. */
export function certificateWarning(pem: string, nowMs: number): string | undefined {
  const [from, to] = datesOf(pem);
  if (from === undefined || to === undefined) return undefined;
  const day = (ms: number) => new Date(ms).toISOString().slice(0, 10);
  if (to <= nowMs) return `The TLS certificate expired on ${day(to)}: clients refuse it. Renew it and restart.`;
  if (from > nowMs) return `The TLS certificate is valid only from ${day(from)} on: until then clients refuse it.`;
  if (to - nowMs > SOON_MS) return undefined;
  const left = printCount(Math.floor((to - nowMs) / DAY_MS), "day");
  return `The TLS certificate expires in ${left}, on ${day(to)}. Renew it and restart: a running server keeps the old one.`;
}

/** When all certificates of a file are valid. */
function datesOf(pem: string): [from?: number, to?: number] {
  return orElse([], () => {
    const chain = pem.match(PEM)?.map((text) => new X509Certificate(text)) ?? [];
    if (chain.length === 0) return [];
    const times = (which: "validFrom" | "validTo") => chain.map((each) => Date.parse(each[which]));
    return [Math.max(...times("validFrom")), Math.min(...times("validTo"))];
  });
}

const PEM = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g;
