/** Reads owners' logs of packs from their start. */
import { type Arbiter, type LogEntry, PACK_STATES } from "../../arbiter/arbiter.ts";
import { nextTurn } from "../../base/concurrency.ts";
import type { Wallet } from "../../base/ids.ts";
import { type DataDamage, dataDamage } from "../store/damage.ts";

/** The owner's packs, as the arbiter knows them now, by name. */
export async function readLog(arbiter: Pick<Arbiter, "packs">, owner: Wallet): Promise<Map<string, LogEntry>> {
  const packs = new Map<string, LogEntry>();
  for await (const entries of logPages(arbiter, owner)) {
    for (const entry of entries) packs.set(entry.pack, entry);
  }
  return packs;
}

/** The entries of each page, for a reader that may stop early. */
export async function* logPages(
  arbiter: Pick<Arbiter, "packs">,
  owner: Wallet,
): AsyncGenerator<readonly LogEntry[], void> {
  for (let position = 0; ;) {
    const page = await arbiter.packs.after(owner, position);
    yield page.entries;
    if (!page.more) return;
    // An arbiter in this process answers at once.
    await nextTurn();
    position = page.entries.at(-1)?.position ?? position;
  }
}

/** What cannot be in an entry of a sound log whose last position is `last`, or later. */
export function logFaults({ pack, state, position, createdMs, changedMs }: LogEntry, last: number): DataDamage[] {
  const fault = (what: string) => dataDamage("log", what, { pack });
  const faults: DataDamage[] = [];
  if (!Object.values(PACK_STATES).includes(state)) faults.push(fault(`its state ${state} is unknown`));
  if (position < 1 || position > last) faults.push(fault(`its position ${position} is beyond the log's last, ${last}`));
  if (changedMs < createdMs) faults.push(fault("it was changed before it was created"));
  return faults;
}
