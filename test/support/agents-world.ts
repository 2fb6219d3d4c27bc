/**
 * Several whole agents on one bucket in memory, events, and what must hold once they settle: all agents, a new one and the
 * bucket show one tree; no saved version is lost; files in an agent's own directory are as on a local disk.
 */
import * as fc from "fast-check";
import type { Clock } from "../../src/base/clock.ts";
import { systemClock } from "../../src/base/clock.ts";
import { hasCode } from "../../src/base/errors.ts";
import { verifyBucket } from "../../src/bucket/verify.ts";
import { KINDS, perform, placeAction, USUAL_PADDING } from "../../src/simulate/actions.ts";
import { Tokens, tokensIn } from "../../src/simulate/judges/tokens.ts";
import type { Action, PlacedAction } from "../../src/simulate/actions.ts";
import { anyAction } from "./agent-operations.ts";
import { VfsDriver } from "../../src/simulate/vfs-driver.ts";
import type { KernelMount } from "../../src/simulate/kernel-mount.ts";
import { differences, isMisplaced, treeOf } from "../../src/simulate/judges/shown-tree.ts";
import type { BucketRemote } from "../../src/bucket/remote.ts";
import { MemoryRemote } from "./memory-remote.ts";
import type { SwapFault } from "./memory-remote.ts";
import { ReadingPrograms } from "./reading-programs.ts";
import { SimulatedAgent } from "./simulated-agent.ts";
import { createBucket, openBucket } from "./test-bucket.ts";

const AGENTS = 3;
/** Rounds of flushes after which all agents must be at rest. */
const ROUNDS = 12;

/**
 * "full": the next upload finds no room, and one of those after it; "begin": a flush that is not awaited; "tidy": a checkpoint that is not awaited; "hold": programs keep all files open for
 * writing, until "release"; "read": programs have all unchanged files open for reading until their agent changes something; "replace":
 * the agent is killed, and the next one goes on under the programs.
 */
const EVENTS = [
  ...(["flush", "begin", "begin", "begin", "catchUp", "restart", "checkpoint", "away", "back"] as const),
  ...(["unseen", "lost", "forget", "tidy", "hold", "release", "read", "replace", "full"] as const),
];
type Event = (typeof EVENTS)[number];
export interface Step {
  readonly agent: number;
  readonly what: Action | Event;
}

export const anyStep: fc.Arbitrary<Step> = fc.record({
  agent: fc.nat({ max: AGENTS - 1 }),
  what: fc.oneof({ weight: 6, arbitrary: anyAction }, { weight: 2, arbitrary: fc.constantFrom<Event>(...EVENTS) }),
});

const REMOVING = ["create", "makeDirectory", "append", "rename", "unlink", "unlink", "removeTree"] as const;

/** Much is removed, and the bucket often has no room. */
export const anyStepWithoutRoom: fc.Arbitrary<Step> = fc.record({
  agent: fc.nat({ max: AGENTS - 1 }),
  what: fc.oneof(
    {
      weight: 3,
      arbitrary: fc
        .tuple(anyAction, fc.constantFrom(...REMOVING))
        .map(([action, kind]): Action => Object.assign({}, action, { kind })),
    },
    { weight: 2, arbitrary: fc.constantFrom<Event>("full", "full", "flush", "flush", "begin", "catchUp") },
    {
      weight: 1,
      arbitrary: fc.constantFrom<Event>("restart", "replace", "checkpoint", "lost", "unseen", "hold", "read"),
    },
  ),
});

/** A bucket that becomes unreachable and reachable again, and whose next uploads and swaps may fail. */
export interface WorldRemote extends BucketRemote {
  unreachable: boolean;
  readonly refusals: boolean[];
  readonly faults: SwapFault[];
}

export interface WorldSetting {
  readonly remote: WorldRemote;
  readonly clock: Clock;
  /** An agent's own connection to the bucket. */
  readonly remoteOf: (seed: number) => Promise<BucketRemote>;
}

export class World {
  readonly remote: WorldRemote;
  readonly tokens = new Tokens();
  agents: SimulatedAgent[] = [];
  /** A copy of each agent's own directory, on a private filesystem that is never published. */
  shadows: SimulatedAgent[] = [];
  readonly #reading = new Map<SimulatedAgent, ReadingPrograms>();
  readonly #clock: Clock;
  readonly #remoteOf: (seed: number) => Promise<BucketRemote>;

  constructor(setting: WorldSetting = inMemory()) {
    this.remote = setting.remote;
    this.#clock = setting.clock;
    this.#remoteOf = setting.remoteOf;
  }

  static async create(setting?: WorldSetting): Promise<World> {
    const world = new World(setting);
    await createBucket(world.remote);
    const local = new MemoryRemote();
    await createBucket(local);
    const names = [..."abcdefgh"].slice(0, AGENTS);
    world.agents = await Promise.all(names.map((name, index) => world.start(name, 10 + index)));
    world.shadows = await Promise.all(
      names.map((name, index) => SimulatedAgent.start(local, name, 20 + index, world.#clock)),
    );
    for (const [index, agent] of world.agents.entries()) {
      await agent.mount.makeDirectory(`own-${agent.name}`);
      await agent.mount.makeDirectory("shared");
      await world.shadows[index]?.mount.makeDirectory(`own-${agent.name}`);
    }
    return world;
  }

  async start(name: string, seed: number): Promise<SimulatedAgent> {
    return SimulatedAgent.start(await this.#remoteOf(seed), name, seed, this.#clock);
  }

  async step({ agent: index, what }: Step): Promise<void> {
    const agent = this.agents[index];
    if (agent === undefined) return;
    if (typeof what === "string") return this.#happen(agent, what);
    const root = what.own ? `own-${agent.name}` : "shared";
    await this.#do(agent, await placeAction(agent.mount, root, what, this.tokens.next(agent.name)));
  }

  /** Runs steps given as text: `a begin`, `b rename shared/d shared/e`, `c look shared`, which fills the caches. */
  async tell(...lines: readonly string[]): Promise<void> {
    for (const line of lines) {
      const [name, what = "", path = "", target = ""] = line.split(" ");
      const agent = this.agents.find((other) => other.name === name);
      const event = EVENTS.find((other) => other === what);
      const kind = KINDS.find((other) => other === what);
      if (agent !== undefined && what === "look") await agent.mount.show(path);
      else if (agent !== undefined && event !== undefined) await this.#happen(agent, event);
      else if (agent !== undefined && kind !== undefined)
        await this.#do(agent, {
          kind,
          path,
          target,
          token: this.tokens.next(agent.name),
          pick: 0,
          padding: USUAL_PADDING,
        });
      else throw new Error(`nobody knows what to do at "${line}"`);
    }
  }

  async #do(agent: SimulatedAgent, placed: PlacedAction): Promise<void> {
    const { kind, path, target, token } = placed;
    this.#readers(agent).closeAll();
    const errno = await perform(agent.mount, placed, this.tokens);
    this.tokens.history.push(`${agent.name} ${kind} ${path} ${target} ${token}: ${errno}`);
    const shadow = path.startsWith("own-") ? this.shadows.find(({ name }) => name === agent.name) : undefined;
    if (shadow === undefined) return;
    const expected = await perform(shadow.mount, placed);
    if (errno !== expected) throw new Error(`${kind} ${path} ${target}: ${errno}, on a disk ${expected}`);
  }

  async #happen(agent: SimulatedAgent, event: Event): Promise<void> {
    this.tokens.history.push(`${agent.name} ${event}`);
    switch (event) {
      case "flush":
        await agent.flush();
        return this.#checkReached(agent);
      case "begin":
        return void agent.flush();
      case "catchUp":
        await agent.catchUp();
        return this.#checkReached(agent);
      case "restart":
        this.remote.unreachable = false;
        return agent.restart();
      case "replace":
        this.remote.unreachable = false;
        return this.#readers(agent).replaceAgent();
      case "checkpoint":
        return agent.vfs.checkpoint();
      case "tidy":
        return void agent.vfs.checkpoint().catch(() => {});
      case "forget":
        return agent.mount.dropCaches();
      case "hold":
        return hold(agent);
      case "release":
        return release(agent);
      case "read":
        return this.#readers(agent).openAll();
      case "away":
      case "back":
        this.remote.unreachable = event === "away";
        return;
      case "unseen":
        return void this.remote.faults.push("committed-unseen");
      case "full":
        return void this.remote.refusals.push(true, false, true);
      case "lost":
        return void this.remote.faults.push("lost");
    }
  }

  async #checkReached(agent: SimulatedAgent): Promise<void> {
    const changed = await this.#readers(agent).changed();
    if (changed.length > 0) throw new Error(`programs read other bytes of ${changed.join()}`);
    const { trouble } = agent;
    if (trouble === undefined || WAITING.has(trouble.code)) return;
    throw trouble;
  }

  #readers(agent: SimulatedAgent): ReadingPrograms {
    const known = this.#reading.get(agent) ?? new ReadingPrograms(agent);
    this.#reading.set(agent, known);
    return known;
  }

  /** The violations once all writing has stopped; empty if all is well. */
  async faults(): Promise<string[]> {
    await this.#settle();
    const { agents, tokens, remote, shadows } = this;
    const fresh = await this.start("f", 30);
    const tree = await treeOf(fresh.mount);
    const homes = new Set(["", "shared", ...agents.map(({ name }) => `own-${name}`)]);
    const faults: string[] = [];
    for (const path of tree.keys()) if (isMisplaced(path, homes)) faults.push(`misplaced: ${path}`);
    const compare = async (what: string, mount: KernelMount) =>
      faults.push(...differences(tree, await treeOf(mount)).map((line) => `${what}: ${line}`));
    for (const agent of agents) {
      await compare(`${agent.name} with caches`, agent.mount);
      agent.mount.dropCaches();
      await compare(`${agent.name} without caches`, agent.mount);
      await agent.restart();
      await compare(`${agent.name} started anew`, agent.mount);
    }
    for (const { name, mount } of shadows) {
      const [here, there] = [
        await treeOf(fresh.mount, `own-${name}`, false),
        await treeOf(mount, `own-${name}`, false),
      ];
      faults.push(...differences(there, here).map((line) => `own: ${line}`));
    }
    const present = new Set([...tree.values()].flatMap((shown) => tokensIn(Buffer.from(shown, "latin1"))));
    const lost = [...tokens.made].filter((token) => !present.has(token) && !tokens.gone.has(token));
    faults.push(...lost.map((token) => `lost: ${tokens.history.find((line) => line.includes(token))}`));
    const { damage } = await verifyBucket(await openBucket(remote), { blocks: remote.blocks });
    return [...faults, ...damage.map(({ what }) => `damage: ${what}`)];
  }

  /** Flushes until everything is published and adopted. */
  async #settle(): Promise<void> {
    this.remote.unreachable = false;
    this.remote.faults.length = 0;
    this.remote.refusals.length = 0;
    for (const agent of this.agents) release(agent);
    for (let round = 0; round < ROUNDS; round++) {
      for (const agent of this.agents) await agent.flush();
      const [first] = this.agents;
      const quiet = this.agents.every(
        ({ base, trouble, vfs }) => base === first?.base && trouble === undefined && vfs.pending().files === 0,
      );
      if (quiet) return;
    }
    const seen = this.agents.map(({ base, trouble, vfs }) => ({ base, trouble, pending: vfs.pending().files }));
    throw new Error(`no rest after ${ROUNDS} rounds`, { cause: seen });
  }
}

/** Files whose records cannot be read now are not held. */
async function hold({ vfs }: SimulatedAgent): Promise<void> {
  for (const ino of vfs.knownInodes()) {
    try {
      await new VfsDriver(vfs).run(() => vfs.holdVersion(ino));
    } catch (error) {
      if (!hasCode(error, "store_unreachable")) throw error;
    }
  }
}

function release({ vfs }: SimulatedAgent): void {
  for (const ino of vfs.knownInodes()) vfs.releaseVersion(ino);
}

function inMemory(): WorldSetting {
  const remote = new MemoryRemote();
  let nowNs = 1_700_000_000_000_000_000n;
  const clock = { ...systemClock, sleep: async () => {}, nowNs: () => (nowNs += 1_000_000n) };
  return { remote, clock, remoteOf: async () => remote };
}

const WAITING: ReadonlySet<string> = new Set([
  "arbiter_unreachable",
  "disk_full",
  "over_quota",
  "store_unreachable",
  "root_moved",
]);
