/** `syncline migrate up | down | status`: the tables of an arbiter in PostgreSQL. */
import { createLineLog, type Log } from "../../base/log.ts";
import { addCommand, type Call, type Program } from "../command.ts";

type MigrateCall = Call<"arbiter">;

const EXAMPLE = "postgres://syncline@db.example:5432/syncline";

export function register(program: Program): void {
  const common = { options: ["arbiter"], required: ["arbiter"], exits: [4, 5, 6] } as const;
  addCommand(program, {
    ...common,
    name: "migrate up",
    summary: "create the tables that masters share in PostgreSQL",
    examples: [`syncline migrate up --arbiter ${EXAMPLE}`],
    run: up,
  });
  addCommand(program, {
    ...common,
    name: "migrate down",
    summary: "remove these tables again, unless they are in use",
    examples: [`syncline migrate down --arbiter ${EXAMPLE}`],
    run: down,
  });
  addCommand(program, {
    ...common,
    name: "migrate status",
    summary: "show which of these tables are there",
    examples: [`syncline migrate status --arbiter ${EXAMPLE} --json`],
    run: status,
  });
}

async function up(call: MigrateCall): Promise<void> {
  const { database, migrations } = await open(call);
  await using opened = database;
  const done = await migrations.migrateUp(opened);
  call.output.result({ applied: done }, done.length === 0 ? "Nothing to do." : `Created: ${done.join(", ")}.`);
}

async function down(call: MigrateCall): Promise<void> {
  const { database, migrations } = await open(call);
  await using opened = database;
  const done = await migrations.migrateDown(opened);
  call.output.result({ removed: done }, done.length === 0 ? "Nothing to do." : `Removed: ${done.join(", ")}.`);
}

async function status(call: MigrateCall): Promise<void> {
  const { database, migrations } = await open(call);
  await using opened = database;
  const steps = await migrations.migrationStates(opened);
  const lines = steps.map(({ step, name, applied }) => `${step}  ${applied ? "there  " : "missing"}  ${name}`);
  call.output.result({ steps }, lines.join("\n"));
}

async function open({ options, runtime }: MigrateCall) {
  const [{ Database }, migrations] = await Promise.all([
    import("../../arbiter/postgres/database.ts"),
    import("../../arbiter/postgres/migrations.ts"),
  ]);
  const log: Log = createLineLog(
    () => runtime.clock.nowNs(),
    (line) => void runtime.stderr.write(line),
  );
  return { database: new Database(options.arbiter ?? "", runtime.clock, log), migrations };
}
