/**
 * Several masters of one bucket: calls go to one that is healthy, and move to another when it fails. Leaving a live
 * master by mistake is harmless, since the masters share one arbiter. A single master is called as it is. Each thread finds out
 * for itself, so a commit may wait several times.
 */
import type { Clock } from "../base/clock.ts";
import { hasCode, type SynclineError } from "../base/errors.ts";
import {
  MASTER_DOUBT_MS,
  MASTER_LEARN_MS,
  MASTER_MOVE_MS,
  MASTER_MOVE_SWAP_MS,
  MASTER_NEXT_MS,
  MASTER_PROBE_MS,
  MASTER_RETURN_MAX_MS,
  MASTER_RETURN_MS,
  MAX_MASTERS,
} from "../base/limits.ts";
import type { Random } from "../base/random.ts";
import type { Capabilities } from "./capabilities.ts";
import { type Master, type MasterAnswer, type MasterReport, type MasterRequest } from "./master-connection.ts";
import { isAway, mayMove, refuses, withRefusal } from "./master-failures.ts";
import { MasterHealth } from "./master-health.ts";
import { originsIn } from "./origin.ts";

export interface MastersTools {
  readonly random: Random;
  /** Connects to a master that another one named. Throws `bad_address` where a bearer must not be sent. */
  readonly connect: (origin: string) => Master;
  /** The masters that were named before this start. */
  readonly known?: KnownMasters | undefined;
}

/** The next start reads what was noted. */
export interface KnownMasters {
  read(): readonly string[];
  note(origins: readonly string[]): void;
}

export class Masters implements Master {
  readonly address: string;
  readonly #clock: Clock;
  readonly #tools: MastersTools | undefined;
  /** The order in which masters are tried, apart from their health. */
  #members: MasterHealth[];
  /** Members that another master named. */
  readonly #learned = new Set<MasterHealth>();
  #chosen: Promise<MasterHealth> | undefined;
  #used: MasterHealth | undefined;
  #learnedMs = -Infinity;
  #isOver = false;

  /** At least one, in their initial order. Without tools no more are learnt. */
  constructor(masters: readonly Master[], clock: Clock, tools?: MastersTools) {
    this.#members = masters.map((master) => new MasterHealth(master));
    this.#clock = clock;
    this.#tools = tools;
    this.address = masters.map(({ address }) => address).join(",");
    const [first] = masters;
    if (tools?.known !== undefined && first !== undefined)
      for (const origin of originsIn({ masters: tools.known.read() }, first.address)) this.#add(origin, tools.connect);
  }

  async call(request: MasterRequest): Promise<MasterAnswer> {
    const startMs = this.#clock.monotonicMs();
    const tried = new Set<MasterHealth>();
    const refusing = new Set<MasterHealth>();
    let [away, refusal]: (SynclineError | undefined)[] = [];
    for (;;) {
      const member = await this.#choose(refusing).catch((error: unknown) => {
        // A caller that waits for the master that is away may be admitted there.
        throw isAway(error) ? withRefusal(error, refusal) : error;
      });
      // The same one is chosen again if the others only seem healthy.
      const isRepeated = tried.has(member);
      tried.add(member);
      const { signal } = member.inUse;
      using _doubts = this.#doubtAfterwards(member);
      try {
        const answer = await member.master.call(this.#limited(member, request, tried));
        if (request.open !== true) member.admitted();
        return this.#noting(member, request, answer);
      } catch (error) {
        const isRefusal = this.#members.length > 1 && refuses(error);
        if (isRefusal) {
          refusal ??= error;
          refusing.add(member);
        } else if (this.#isFault(error, request)) away = error;
        else throw error;
        if (!signal.aborted && isRefusal) this.#refused(member, error);
        else if (!signal.aborted) this.#leave(member, error);
        const failure = away === undefined ? error : withRefusal(away, refusal);
        if (isRepeated || !(isRefusal || mayMove(request, error))) throw failure;
        // Masters that were left are tried, too: they may be back. A longer call has checked their health already.
        const isSoon = this.#clock.monotonicMs() - startMs < MASTER_DOUBT_MS;
        if (!this.#members.some((other) => !tried.has(other) && (isSoon || !other.isLeft))) throw failure;
      }
    }
  }

  async capabilities(): Promise<Capabilities> {
    for (let left = this.#members.length; ; left--) {
      const member = await this.#choose();
      try {
        return await member.master.capabilities();
      } catch (error) {
        if (!isAway(error)) throw error;
        this.#leave(member, error);
        if (left <= 1) throw error;
      }
    }
  }

  members(): MasterReport[] {
    return this.#members.map((member) => member.report(member === this.#used));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true;
    await Promise.all(this.#members.map(({ master }) => master[Symbol.asyncDispose]()));
  }

  /**
   * Ends the call when the master is left. Shortens the time-out if another healthy master can be asked, or if this one was
   * left; event streams and waits for a turn may be silent.
   */
  #limited(member: MasterHealth, request: MasterRequest, tried: ReadonlySet<MasterHealth>): MasterRequest {
    if (this.#members.length === 1) return request;
    const ending = { ...request, left: member.inUse.signal };
    const isWait = request.again === "if not received" && request.silenceMs === undefined;
    const hasOther = this.#members.some((other) => !tried.has(other) && !other.isLeft);
    if (request.events === true || isWait || (!hasOther && !member.isLeft)) return ending;
    return { ...ending, silenceMs: request.again === undefined ? MASTER_MOVE_MS : MASTER_MOVE_SWAP_MS };
  }

  /** Until disposed, asks again and again whether a master that is silent so long is healthy. */
  #doubtAfterwards(member: MasterHealth): Disposable {
    let timer: Disposable | undefined;
    const wait = () => {
      timer = this.#clock.after(MASTER_DOUBT_MS, () => {
        void this.#doubt(member);
        wait();
      });
    };
    if (this.#members.length > 1) wait();
    return { [Symbol.dispose]: () => timer?.[Symbol.dispose]() };
  }

  /** Leaves a master that fails a quick health check which another one passes. On a slow line all fail. */
  async #doubt(member: MasterHealth): Promise<void> {
    const { signal } = member.inUse;
    const probe = (one: MasterHealth) => this.#probe(one, MASTER_DOUBT_MS);
    const others = this.#members.filter((other) => other !== member).map(probe);
    const [own, other] = await Promise.allSettled([probe(member), Promise.any(others)]);
    if (own.status === "fulfilled" || other.status === "rejected" || signal.aborted || this.#isOver) return;
    this.#leave(member, own.reason);
  }

  /** The caller's own abort is no fault of a master. */
  #isFault(error: unknown, request: MasterRequest): error is SynclineError {
    if (request.signal?.aborted === true) return false;
    return isAway(error);
  }

  /** The answer, whose failures are noted too. */
  #noting(member: MasterHealth, request: MasterRequest, answer: MasterAnswer): MasterAnswer {
    if (this.#members.length === 1) return answer;
    if (answer.status >= 500) this.#leave(member, `status ${answer.status}`);
    const noted = async <Result>(work: Promise<Result>): Promise<Result> => {
      try {
        return await work;
      } catch (error) {
        if (this.#isFault(error, request)) this.#leave(member, error);
        throw error;
      }
    };
    const leave = (why: string) => {
      this.#leave(member, why);
      return this.#members.some((other) => !other.isLeft);
    };
    const body = (async function* () {
      const parts = answer.body[Symbol.asyncIterator]();
      try {
        for (;;) {
          const part = await noted(parts.next());
          if (part.done === true) return;
          yield part.value;
        }
      } finally {
        await parts.return?.();
      }
    })();
    const { status, headers } = answer;
    return { status, headers, body, read: (take) => noted(answer.read(take)), json: () => noted(answer.json()), leave };
  }

  /** Chooses none of `refusing`, which refused the call. */
  async #choose(refusing: ReadonlySet<MasterHealth> = new Set()): Promise<MasterHealth> {
    if (this.#used !== undefined && this.#members.length > 1) this.#lookAround(this.#used);
    if (refusing.size > 0) this.#chosen = this.#firstThatAnswers(refusing);
    const chosen = (this.#chosen ??= this.#firstThatAnswers());
    chosen.catch(() => {
      if (this.#chosen === chosen) this.#chosen = undefined;
    });
    const member = await chosen;
    this.#used = member;
    if (this.#tools !== undefined) void this.#learn(member, this.#tools);
    return member;
  }

  #leave(member: MasterHealth, why: unknown): void {
    const nowMs = this.#clock.monotonicMs();
    if (this.#members.length > 1) member.leave(why, nowMs, this.#pauseMs(member.times));
    this.#putLast(member);
  }

  /** Leaves a master that does not admit us. A passed health check does not bring it back. */
  #refused(member: MasterHealth, why: unknown): void {
    member.refuse(why, this.#clock.monotonicMs(), this.#pauseMs(member.refusals));
    this.#putLast(member);
  }

  #putLast(member: MasterHealth): void {
    // A call to a master that was forgotten may still fail.
    if (this.#members.includes(member)) this.#members = [...this.#members.filter((other) => other !== member), member];
    if (this.#used === member || this.#used === undefined) this.#chosen = undefined;
  }

  /** Doubles each time the master is left, with jitter. */
  #pauseMs(times: number): number {
    const pauseMs = Math.min(MASTER_RETURN_MS * 2 ** times, MASTER_RETURN_MAX_MS);
    return pauseMs * (0.5 + (this.#tools?.random.fraction() ?? 1) / 2);
  }

  /** Probes masters that are due, in the background. Moves to one that is clearly faster, or if the one in use was left. */
  #lookAround(used: MasterHealth): void {
    const nowMs = this.#clock.monotonicMs();
    for (const member of this.#members.filter((one) => one.isDue(nowMs))) {
      member.probing(nowMs, MASTER_PROBE_MS);
      this.#probe(member, MASTER_MOVE_MS).catch((error: unknown) => {
        if (this.#isOver) return;
        // One that was left already may be in use because all are away: changing between them would help nobody.
        if (member.isLeft) member.stayLeft(error, this.#clock.monotonicMs(), this.#pauseMs(member.times));
        else this.#leave(member, error);
      });
    }
    const better = this.#members.find((member) => member !== used && member.isBetterThan(used));
    if (better !== undefined && this.#chosen !== undefined) {
      this.#chosen = Promise.resolve(better);
      this.#used = better;
    }
  }

  /** Notes a healthy master. Throws if it is not, or silent for so long. */
  async #probe(member: MasterHealth, silenceMs: number): Promise<void> {
    const startMs = this.#clock.monotonicMs();
    const { isRefusing } = member;
    // A healthy master may still refuse us, so this asks with our bearer.
    const path = isRefusing ? "/api/v1/storage" : "/health";
    const request = { method: "GET", path, open: !isRefusing, silenceMs } as const;
    await (await member.master.call(request)).json();
    if (isRefusing) member.admitted();
    const nowMs = this.#clock.monotonicMs();
    member.healthy(nowMs, nowMs - startMs);
  }

  /** Asks a master for the others from time to time, if it offers that. */
  async #learn({ master }: MasterHealth, { connect, known }: MastersTools): Promise<void> {
    const nowMs = this.#clock.monotonicMs();
    if (nowMs - this.#learnedMs < MASTER_LEARN_MS) return;
    this.#learnedMs = nowMs;
    try {
      if (!(await master.capabilities()).masters) return;
      const request = { method: "GET", path: "/v1/masters", open: true, silenceMs: MASTER_MOVE_MS } as const;
      const said = await (await master.call(request)).json();
      if (this.#isOver) return;
      const origins = originsIn(said, master.address);
      if (origins.length > 0) this.#forgetAllBut(origins);
      for (const origin of origins) this.#add(origin, connect);
      known?.note(origins);
    } catch {
      // It is asked again later.
    }
  }

  /** Drops masters that were learned and are not named any more, apart from the one in use. */
  #forgetAllBut(origins: readonly string[]): void {
    const isKept = (member: MasterHealth) =>
      !this.#learned.has(member) || member === this.#used || origins.includes(member.master.address);
    const dropped = this.#members.filter((member) => !isKept(member));
    this.#members = this.#members.filter(isKept);
    for (const member of dropped) {
      this.#learned.delete(member);
      // Ends its calls, so that they move to another.
      member.leave("it is not named any more", this.#clock.monotonicMs(), Infinity);
      void member.master[Symbol.asyncDispose]();
    }
  }

  #add(origin: string, connect: (origin: string) => Master): void {
    if (this.#members.length >= MAX_MASTERS) return;
    if (this.#members.some(({ master }) => master.address === origin)) return;
    try {
      const member = new MasterHealth(connect(origin));
      this.#members.push(member);
      this.#learned.add(member);
    } catch (error) {
      // A bearer must not be sent there.
      if (!hasCode(error, "bad_address")) throw error;
    }
  }

  /** Healthy ones first, and those that refused us only if no other answers. If none does, throws the first one's error. */
  async #firstThatAnswers(refusing: ReadonlySet<MasterHealth> = new Set()): Promise<MasterHealth> {
    const asked: Promise<MasterHealth>[] = [];
    const rank = ({ isLeft, isRefusing }: MasterHealth) => Number(isLeft) + Number(isRefusing);
    const ranked = this.#members.filter((one) => !refusing.has(one)).toSorted((a, b) => rank(a) - rank(b));
    for (const member of ranked) {
      if (member.isRefusing && (await Promise.any(asked).catch(() => undefined)) !== undefined) break;
      const answer = member.master.capabilities().then(() => member);
      asked.push(answer);
      if ((await this.#soon(asked, answer)) !== undefined) break;
    }
    try {
      const first = await Promise.any(asked);
      // This master may have been forgotten meanwhile.
      if (!this.#members.includes(first)) return await this.#firstThatAnswers(refusing);
      this.#members = [first, ...this.#members.filter((other) => other !== first)];
      return first;
    } catch (error) {
      throw error instanceof AggregateError ? error.errors[0] : error;
    }
  }

  /** The first of these to answer; undefined once the newest has failed, or after a while without an answer. */
  async #soon(asked: readonly Promise<MasterHealth>[], newest: Promise<MasterHealth>) {
    const over = new AbortController();
    const pause = this.#clock.sleep(MASTER_NEXT_MS, over.signal);
    const none = () => undefined;
    const first = await Promise.race([Promise.any(asked).catch(none), newest.catch(none), pause.then(none, none)]);
    over.abort();
    return first;
  }
}
