/**
 * Follows docs/guide/second-machine.md word by word: two network namespaces stand for the two machines, each with a home of its own. Only
 * scp is played, by a copy between the homes.
 *   node scripts/drills/second-machine.ts      needs Linux, root, iproute2 and a build
 */
import { spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { check, checkout, join, mkdirSync, pidOf, report, run, workspace } from "./lib.ts";

type Machine = "first" | "second";

interface Step {
  readonly machine: Machine;
  readonly isBackground: boolean;
  readonly text: string;
}

const ADDRESSES = { first: "192.0.2.10", second: "192.0.2.11" };
const DEADLINE_MS = 60_000;
const page = readFileSync(join(checkout, "docs/guide/second-machine.md"), "utf8");
const steps = [...page.matchAll(/```sh (first|second)( background)?\n([^]*?)```/g)].map(
  ([, machine, background, text = ""]): Step => ({
    machine: machine === "first" ? "first" : "second",
    isBackground: background !== undefined,
    text,
  }),
);
check(steps.length >= 6, "the page has steps for both machines");

const space = workspace("second-machine");
const began = performance.now();
const namespaces = connectMachines();
const machines = { first: start("first"), second: start("second") };
// What installing leaves behind: the command, and on the first machine a key.
await machines.first.do("syncline key new");
let shown = "";
for (const { machine, isBackground, text } of steps) {
  report(
    `${machine}: ${text
      .trim()
      .split("\n")
      .join(`\n${" ".repeat(machine.length)}  `)}`,
  );
  if (isBackground) await machines[machine].serve(text.trim());
  else shown = await eventually(() => machines[machine].do(text), machine, text);
  // A person takes longer to go to the other machine than this.
  if (machine === "first" && text.includes("> ~/notes/")) await machines.first.do("syncline flush ~/notes");
}
check(
  shown.includes("written on the first machine\nwritten on the second machine"),
  "the first machine shows both lines",
);
for (const machine of Object.values(machines)) {
  await machine.do("syncline unmount ~/notes");
  await machine.end();
}
report(`${((performance.now() - began) / 1000).toFixed(1)} s`);

/** A namespace for each machine, and a cable between them. */
function connectMachines() {
  const id = process.pid;
  const names = { first: `syncline-${id}-a`, second: `syncline-${id}-b` };
  for (const name of Object.values(names)) {
    run("ip", ["netns", "add", name]);
    space.cleanups.push(() => run("ip", ["netns", "del", name]));
  }
  run("ip", [
    "link",
    "add",
    `sl${id}a`,
    "netns",
    names.first,
    "type",
    "veth",
    "peer",
    "name",
    `sl${id}b`,
    "netns",
    names.second,
  ]);
  for (const [machine, end] of [
    ["first", "a"],
    ["second", "b"],
  ] as const) {
    const inside = ["netns", "exec", names[machine], "ip"];
    run("ip", [...inside, "address", "add", `${ADDRESSES[machine]}/24`, "dev", `sl${id}${end}`]);
    run("ip", [...inside, "link", "set", `sl${id}${end}`, "up"]);
    run("ip", [...inside, "link", "set", "lo", "up"]);
  }
  return names;
}

/** A shell on a machine: what is mounted in it stays while it runs. */
function start(machine: Machine) {
  const home = join(space.path, machine);
  const bin = join(home, ".local/bin");
  mkdirSync(bin, { recursive: true });
  mkdirSync(join(home, ".config/syncline"), { recursive: true });
  writeFileSync(join(bin, "syncline"), `#!/bin/sh\nexec ${process.execPath} ${join(checkout, "dist/main.js")} "$@"\n`, {
    mode: 0o755,
  });
  const copy = `#!/bin/sh\nfor last; do :; done\nfor from; do [ "$from" = "$last" ] || cp "${space.path}/first/\${from#*:}" "$last"; done\n`;
  writeFileSync(join(bin, "scp"), copy, { mode: 0o755 });
  const own = /^(SYNCLINE_|XDG_|HOME$|PATH$)/;
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !own.test(name)));
  const shell = spawn("ip", ["netns", "exec", namespaces[machine], "bash"], {
    cwd: home,
    env: { ...env, HOME: home, PATH: `${bin}:${process.env["PATH"]}` },
    stdio: ["pipe", "pipe", "pipe"],
  });
  const pid = pidOf(shell);
  space.pids.add(pid);
  let [out, err] = ["", ""];
  shell.stdout.on("data", (data: Buffer) => (out += data.toString()));
  shell.stderr.on("data", (data: Buffer) => (err += data.toString()));
  const heard = async (pattern: RegExp) => {
    const untilMs = performance.now() + DEADLINE_MS;
    for (;;) {
      const match = pattern.exec(out);
      if (match !== null) return match;
      if (performance.now() > untilMs) throw new Error(`${machine}: nothing came\n${out}${err}`);
      await new Promise((next) => setTimeout(next, 20));
    }
  };
  return {
    /** Runs the lines as they stand; throws when one of them fails. Answers what they printed. */
    async do(text: string) {
      [out, err] = ["", ""];
      shell.stdin.write(`( set -e\n${text}\n) </dev/null\necho "ended $?"\n`);
      const [, status] = await heard(/^ended (\d+)$/m);
      if (status !== "0") throw new Error(`${machine}: ${text}\n${out}${err}`);
      return out;
    },
    async serve(text: string) {
      [out, err] = ["", ""];
      shell.stdin.write(`${text} </dev/null &\nserver=$!\n`);
      await heard(/^Serving .* at https:\/\/192\.0\.2\.10:3600/m);
    },
    async end() {
      shell.stdin.end('[ -z "${server:-}" ] || kill $server; wait\n');
      await new Promise((done) => shell.once("close", done));
      space.pids.delete(pid);
    },
  };
}

/** "A second later": what the other machine wrote is on its way for a moment. */
async function eventually(work: () => Promise<string>, machine: Machine, text: string) {
  const isLook = machine === "first" && text.startsWith("cat ");
  const untilMs = performance.now() + DEADLINE_MS;
  for (;;) {
    const printed = await work();
    if (!isLook || printed.includes("written on the second machine") || performance.now() > untilMs) return printed;
  }
}
