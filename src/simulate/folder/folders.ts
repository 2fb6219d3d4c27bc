/** The synced folders of a history: people change them, and their agents die and restart. */
import { SynclineError } from "../../base/errors.ts";
import type { KernelMount } from "../kernel-mount.ts";
import type { FolderPlan } from "./planned-folders.ts";
import { isDirectory, isFile } from "../judges/shown.ts";
import { isIoError, type Stage } from "../troubles.ts";
import { performInFolder } from "./folder-actions.ts";
import type { FolderMachine } from "./folder-machine.ts";

export interface FoldersOptions extends Pick<Stage, "plan" | "timeline" | "tokens" | "trace" | "counts"> {
  readonly make: (name: string) => FolderMachine;
  /** Call when an image of a folder is made. Call the result when the image is put back. */
  readonly mark: (name: string) => () => void;
}

export class Folders implements Disposable {
  readonly #options: FoldersOptions;
  readonly #all: readonly { readonly machine: FolderMachine; readonly plan: FolderPlan }[];

  constructor(options: FoldersOptions) {
    this.#options = options;
    this.#all = options.plan.folders.map((plan, index) => ({
      machine: options.make(FOLDER_NAMES[index] ?? "z"),
      plan,
    }));
  }

  /** Plays all actions and kills. */
  async play(): Promise<void> {
    await Promise.all(
      this.#all.flatMap(({ machine, plan }) => [
        this.#use(machine, plan),
        ...plan.kills.map((kill) => this.#kill(machine, kill)),
        ...(plan.setBack === undefined ? [] : [this.#setBack(machine, plan.setBack)]),
      ]),
    );
  }

  /** Starts each folder that is not running, as soon as the bucket answers. */
  async startAll(): Promise<void> {
    await Promise.all(this.#all.map(({ machine }) => this.#start(machine)));
  }

  async restartAll(): Promise<void> {
    for (const { machine } of this.#all) machine.kill();
    await this.startAll();
  }

  /** Why folders are not at rest on the root; empty if all are. */
  unrest(root: string | undefined): string[] {
    return this.#all.flatMap(({ machine }) => {
      const why = machine.unrest(root);
      return why === undefined ? [] : [`folder ${machine.name}: ${why}`];
    });
  }

  /** How they differ from what the mount shows. */
  async differences(mount: KernelMount): Promise<string[]> {
    if (this.#all.length === 0) return [];
    const expected = await textsOf(mount);
    return this.#all.flatMap(({ machine: { name, disk } }) => {
      const is = disk.tree();
      const paths = [...new Set([...expected.keys(), ...is.keys()])].filter(
        (path) => expected.get(path) !== is.get(path),
      );
      return paths.map((path) => `folder ${name}: ${path} is ${is.get(path)}, not ${expected.get(path)}`);
    });
  }

  [Symbol.dispose](): void {
    for (const { machine } of this.#all) machine[Symbol.dispose]();
  }

  async #use(machine: FolderMachine, { actions }: FolderPlan): Promise<void> {
    const { tokens, trace, timeline, plan } = this.#options;
    await this.#start(machine);
    for (const { atMs, action } of actions) {
      await timeline.sleep(Math.max(0, atMs - timeline.monotonicMs()));
      const done = performInFolder(machine.disk, action, plan.names, tokens.next(machine.name), tokens);
      if (done === undefined) continue;
      trace.add(machine.name, done);
      machine.noticed();
    }
  }

  async #kill(machine: FolderMachine, { atMs, forMs }: FolderPlan["kills"][number]): Promise<void> {
    const { timeline, trace } = this.#options;
    await timeline.sleep(Math.max(0, atMs - timeline.monotonicMs()));
    trace.add(machine.name, `kill for ${Math.round(forMs)} ms`);
    machine.kill();
    await timeline.sleep(forMs);
    await this.#start(machine);
  }

  async #setBack(machine: FolderMachine, setBack: NonNullable<FolderPlan["setBack"]>): Promise<void> {
    const { atMs, forMs, databaseOnly } = setBack;
    const { timeline, trace, counts, mark } = this.#options;
    await timeline.sleep(Math.max(0, atMs - timeline.monotonicMs()));
    while (machine.isWriting) await timeline.sleep(1);
    const [putBack, went] = [machine.snapshot(databaseOnly), mark(machine.name)];
    trace.add(machine.name, `${databaseOnly ? "database " : ""}set back for ${Math.round(forMs)} ms`);
    counts.count("folder set back");
    await timeline.sleep(forMs);
    // While it is down, another fault is about to start it.
    while (machine.process === undefined) await timeline.sleep(RETRY_MS);
    putBack();
    if (!databaseOnly) went();
    trace.add(machine.name, "went back");
    await this.#start(machine);
  }

  async #start(machine: FolderMachine): Promise<void> {
    while (machine.process === undefined) {
      try {
        await machine.start();
      } catch (error) {
        if (!isIoError(error)) throw error;
        this.#options.trace.add(machine.name, `does not start: ${error.code}`);
        await this.#options.timeline.sleep(RETRY_MS);
      }
    }
  }
}

/** Path → contents, in the format of the folder's disk. */
async function textsOf(mount: KernelMount): Promise<Map<string, string>> {
  const texts = new Map<string, string>();
  const visit = async (path: string): Promise<void> => {
    const shown = await mount.show(path);
    if (shown === undefined)
      throw new SynclineError("internal", `The listing names ${path}, but the lookup does not find it.`);
    const { attributes, contents, names } = shown;
    const text = contents.toString("latin1");
    const what = isDirectory(attributes) ? "dir" : isFile(attributes) ? text : `-> ${text}`;
    if (path !== "") texts.set(Buffer.from(path).toString("latin1"), what);
    for (const name of names) await visit(path === "" ? name : `${path}/${name}`);
  };
  await visit("");
  return texts;
}

const FOLDER_NAMES = [..."xyz"];
const RETRY_MS = 500;
