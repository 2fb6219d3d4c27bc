/**
 * What masters on one arbiter tell each other: that they are running, and how long each keeps blocks that no root reaches.
 *
 * All must agree on that time. A collection goes by its own master's, so a shorter one would delete what another master has
 * promised to an upload. Published roots are safe in any case; the upload would have to begin anew, and might never end.
 */
import type { Arbiter, SeenMaster } from "../../arbiter/arbiter.ts";
import { SynclineError } from "../../base/errors.ts";
import { LastingTrouble } from "../../base/lasting-trouble.ts";
import type { Ports } from "../../base/ports.ts";
import type { Wallet } from "../../base/ids.ts";
import type { OtherMasters, ServingMaster } from "../storage.ts";

export interface AnnouncementsOptions extends Ports {
  readonly arbiter: Pick<Arbiter, "watch" | "announce" | "withdraw" | "masters">;
  readonly leaseSeconds: number;
}

const ANNOUNCE_MS = 20_000;
/** A master that was killed counts as running until three of its announcements are missing. */
const LIVE_SECONDS = 60;
/** How long a master that ends waits for an arbiter that may be gone. */
const GOODBYE_MS = 1_000;

export class Announcements implements OtherMasters, AsyncDisposable {
  onWentBack: (owners: readonly Wallet[]) => void = () => {};
  readonly id: string;
  readonly #options: AnnouncementsOptions;
  readonly #trouble: LastingTrouble;
  /** The last announcement; undefined: there was none. */
  #told: Promise<void> | undefined;
  #timer: Disposable | undefined;
  #ended = false;

  constructor(options: AnnouncementsOptions) {
    const { clock, log, random } = options;
    this.#options = options;
    this.#trouble = new LastingTrouble("cannot announce this master", clock, log);
    this.id = Buffer.from(random.bytes(16)).toString("hex");
  }

  watch(changed: Parameters<OtherMasters["watch"]>[0]): Disposable {
    return this.#options.arbiter.watch(changed);
  }

  async join(master: Omit<ServingMaster, "origin">): Promise<void> {
    await this.#requireSameLease();
    this.#told = this.#tell({ ...master, origin: "" });
    await this.#told;
    // Of two that start at once, at least one sees the other.
    this.#compareRules(master.rules, await this.#requireSameLease());
  }

  announce(master: ServingMaster): void {
    if (this.#ended) return;
    this.#timer = this.#options.clock.after(ANNOUNCE_MS, () => this.announce(master));
    this.#told = this.#trouble.watch(() => this.#tell(master));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended = true;
    this.#timer?.[Symbol.dispose]();
    if (this.#told === undefined) return;
    const { arbiter, clock } = this.#options;
    const over = new AbortController();
    const withdrawn = this.#told.then(() => arbiter.withdraw(this.id));
    await Promise.race([withdrawn, clock.sleep(GOODBYE_MS, over.signal)]).catch(() => {});
    over.abort();
  }

  #tell(master: ServingMaster): Promise<void> {
    const { arbiter, leaseSeconds } = this.#options;
    return arbiter.announce({ ...master, id: this.id, leaseSeconds });
  }

  /** Returns the other masters. Those of earlier versions do not say what they keep. */
  async #requireSameLease(): Promise<readonly SeenMaster[]> {
    const { arbiter, leaseSeconds: own } = this.#options;
    const others = (await arbiter.masters(LIVE_SECONDS)).filter(({ id }) => id !== this.id);
    for (const { origin, leaseSeconds = own } of others) {
      if (leaseSeconds === own) continue;
      const message = `${nameOf(origin)} uses this arbiter with --lease ${leaseText(leaseSeconds)}, this one with ${leaseText(own)}.`;
      throw new SynclineError("config_invalid", message, {
        hint: "Give all masters the same --lease. To change it, stop them all first: a master that was killed counts for a minute.",
      });
    }
    return others;
  }

  #compareRules(own: string | undefined, others: readonly SeenMaster[]): void {
    if (own === undefined) return;
    for (const { origin, rules } of others) {
      if (rules === undefined || rules === own) continue;
      this.#options.log.warn(
        `${nameOf(origin)} serves the same buckets with ${rulesText(rules)}, this one with ${rulesText(own)}. Give all masters the same.`,
      );
    }
  }
}

function nameOf(origin: string): string {
  return origin === "" ? "Another master" : `The master ${origin}`;
}

function rulesText(rules: string): string {
  return rules === "" ? "no quota and no public blocks" : rules.replaceAll(",", " ");
}

/** As --lease takes it. */
function leaseText(seconds: number): string {
  if (seconds % 3600 === 0) return `${seconds / 3600}h`;
  return seconds % 60 === 0 ? `${seconds / 60}m` : `${seconds}s`;
}
